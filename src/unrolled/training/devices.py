"""Whether this machine has what a configuration asks for."""

import logging
import os

import torch
from omegaconf import DictConfig

from unrolled.errors import DeviceError
from unrolled.training.threads import available_cores

log = logging.getLogger(__name__)


def require_devices(trainer: DictConfig) -> None:
    """Refuse a device or a precision that is not here, before anything is built.

    Raises:
        DeviceError: no such GPU, or no bf16 arithmetic on the device.
    """
    if trainer.accelerator == "gpu":
        available = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if available < trainer.devices:
            raise DeviceError(
                f"trainer.accelerator=gpu with trainer.devices={trainer.devices}: PyTorch sees "
                f"{available} CUDA GPUs on this machine; take trainer=cpu or fewer devices"
            )
    elif trainer.strategy == "ddp" and trainer.devices > (cores := available_cores()):
        log.warning(
            "trainer.devices=%d: that many processes share %d cores, which is slower than %d",
            trainer.devices,
            cores,
            cores,
        )
    if trainer.precision == "bf16" and not has_bf16(trainer.accelerator):
        raise DeviceError(
            f"trainer.precision=bf16: the {trainer.accelerator} of this machine has none; "
            "take trainer.precision=fp32"
        )


def device_of(trainer: DictConfig) -> torch.device:
    """Where a run trains."""
    return torch.device("cuda" if trainer.accelerator == "gpu" else "cpu")


def device_name(trainer: DictConfig) -> str:
    """Where a run trains, for people: ``cpu``, or the GPUs by the names that the machine has."""
    if trainer.accelerator == "cpu":
        return "cpu"
    count = trainer.devices if trainer.strategy == "ddp" else 1
    names = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    if names == [""]:
        names = [str(number) for number in range(count)]
    return "gpu " + ",".join(names[:count])


def has_bf16(accelerator: str) -> bool:
    """Whether bf16 is computed, not emulated, on the device."""
    if accelerator == "gpu":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
