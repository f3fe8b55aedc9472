"""Whether a model fits into memory, asked before any of it is allocated."""

from pathlib import Path

import torch
from omegaconf import DictConfig

from unrolled.errors import DeviceError

# Numbers of four bytes that training keeps for each parameter: itself, its gradient, and two more
# for the optimizers that have two.
NUMBERS = 4
UNITS = ("B", "KB", "MB", "GB", "TB", "PB", "EB")


def require_memory(config: DictConfig, parameters: int, hidden_size: int) -> None:
    """Refuse a model that could not be trained in the memory that is free now.

    Raises:
        DeviceError: what it needs, and what there is.
    """
    needed = 4 * NUMBERS * parameters
    free = _free(on_gpu=config.trainer.accelerator == "gpu")
    if free is not None and needed > free:
        raise DeviceError(
            f"model.hidden_size={hidden_size:,} with model.layers={config.model.layers}: "
            f"{parameters:,} parameters need {_written(needed)} to train, and {_written(free)} of "
            "memory are free; make the model smaller"
        )


def _free(*, on_gpu: bool) -> int | None:
    """Bytes that are free where the run trains; None where the system does not tell."""
    if on_gpu:
        return torch.cuda.mem_get_info()[0] if torch.cuda.is_available() else None
    information = Path("/proc/meminfo")
    if not information.is_file():
        return None
    for line in information.read_text(encoding="utf-8").splitlines():
        if line.startswith("MemAvailable:"):
            return 1024 * int(line.split()[1])
    return None


def _written(size: int) -> str:
    """A number of bytes for people: ``1.6 GB``."""
    value = float(size)
    for unit in UNITS:
        if value < 1000 or unit == UNITS[-1]:
            break
        value /= 1000
    return f"{value:.3g} {unit}"
