"""In which precision a run computes where ``trainer.precision=auto`` leaves it to the program."""

from typing import Literal

import torch
from omegaconf import DictConfig

from unrolled.errors import DeviceError
from unrolled.models.heads import MANY_CLASSES, Distribution
from unrolled.models.model import RecurrentModel
from unrolled.training.devices import device_of, has_bf16

Precision = Literal["fp32", "bf16"]

# Floating-point operations of a token's forward pass from which products, not the operations
# between them, take the time of a step whose output layer has many classes.
SMALLEST_FLOPS = 250_000


def resolved_precision(
    trainer: DictConfig, model: RecurrentModel, batch: int, recorded: object = None
) -> Precision:
    """What ``trainer.precision`` stands for.

    ``auto`` is bf16 on a CPU that multiplies in it, where products take the time of a step: in an
    output layer over many classes, and in a wide recurrence whose backend gains by it. Parameters,
    optimizer, sums and losses are in fp32 either way.

    Args:
        trainer: the configuration's group.
        model: what is trained.
        batch: how many sequences a step has.
        recorded: what ``auto`` stood for when the run began; None for a new run.

    Raises:
        DeviceError: the run began in bf16, and this machine has none.
    """
    if trainer.precision != "auto":
        chosen: Precision = trainer.precision
        return chosen
    if recorded == "fp32" or recorded == "bf16":
        if recorded == "bf16" and not has_bf16(trainer.accelerator):
            raise DeviceError(
                "the run is in bf16, which trainer.precision=auto chose where it began, and the "
                f"{trainer.accelerator} of this machine has none; take trainer.precision=fp32, "
                "whose figures differ by rounding"
            )
        return recorded
    if trainer.accelerator != "cpu" or not multiplies_bf16():
        return "fp32"
    gains = model.recurrence.gains_by_half(device_of(trainer), batch)
    return "bf16" if gains or _many_classes(model) else "fp32"


def multiplies_bf16() -> bool:
    """Whether the processor has instructions for products in bf16."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def _many_classes(model: RecurrentModel) -> bool:
    head = model.head
    large = model.flops_per_token() >= SMALLEST_FLOPS
    return large and isinstance(head, Distribution) and head.classes >= MANY_CLASSES
