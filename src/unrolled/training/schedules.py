"""Learning rate schedules, each a function of the optimizer and the length of the run.

Every schedule but the plateau is stepped once a training step, so the rate follows from the step
alone.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau


@dataclass(frozen=True)
class Length:
    """How long a run is.

    Attributes:
        steps_per_epoch: training steps in one pass over the training split.
        total_steps: the last step of the run, if nothing stops it earlier.
        validation_interval: steps between two validations.
        monitor: the metric that the plateau schedule looks at.
        mode: ``min`` where less of it is better, ``max`` where more is.
    """

    steps_per_epoch: int
    total_steps: int
    validation_interval: int
    monitor: str
    mode: Literal["min", "max"] = "min"

    def validates_at(self, step: int) -> bool:
        """Whether a validation follows the step."""
        return step % self.validation_interval == 0 or step == self.total_steps

    def validation_after(self, share: float) -> int:
        """The step of the first validation at or after a share of the run, from 0 to 1."""
        validations = math.ceil(share * self.total_steps / self.validation_interval - 1e-9)
        return min(self.total_steps, max(1, validations) * self.validation_interval)


def constant(
    optimizer: Optimizer, length: Length, *, name: str, warmup_steps: int
) -> dict[str, Any]:
    """The same rate after a linear warm-up."""
    return _by_step(optimizer, lambda step: _warmup(step, warmup_steps))


def cosine(
    optimizer: Optimizer,
    length: Length,
    *,
    name: str,
    warmup_steps: int,
    final_fraction: float,
) -> dict[str, Any]:
    """Linear warm-up, then half a cosine to ``final_fraction`` of the rate (Loshchilov & Hutter
    2017)."""
    rest = max(1, length.total_steps - warmup_steps)

    def factor(step: int) -> float:
        if step < warmup_steps:
            return _warmup(step, warmup_steps)
        done = min(1.0, (step - warmup_steps) / rest)
        return final_fraction + (1 - final_fraction) * (1 + math.cos(math.pi * done)) / 2

    return _by_step(optimizer, factor)


def exponential(
    optimizer: Optimizer, length: Length, *, name: str, factor: float, first_epoch: int
) -> dict[str, Any]:
    """The rate times ``factor`` once an epoch, epoch ``first_epoch`` being the first with a
    lowered one."""
    return step(
        optimizer, length, name=name, factor=factor, first_epoch=first_epoch, every_epochs=1
    )


def step(
    optimizer: Optimizer,
    length: Length,
    *,
    name: str,
    factor: float,
    first_epoch: int,
    every_epochs: int,
) -> dict[str, Any]:
    """As ``exponential``, once every ``every_epochs`` epochs."""

    def scale(step: int) -> float:
        epoch = step // length.steps_per_epoch + 1
        return factor ** max(0, (epoch - first_epoch) // every_epochs + 1)

    return _by_step(optimizer, scale)


def plateau(
    optimizer: Optimizer,
    length: Length,
    *,
    name: str,
    factor: float,
    patience: int,
    minimum_lr: float,
) -> dict[str, Any]:
    """The rate times ``factor`` after more than ``patience`` validations without a new lowest
    value."""
    return {
        "scheduler": ReduceLROnPlateau(
            optimizer,
            mode=length.mode,
            factor=factor,
            patience=patience,
            min_lr=minimum_lr,
        ),
        # The validations step it (callbacks.StepPlateau). Lightning would count its steps anew in
        # each epoch, and validations count on: it never comes to so many.
        "interval": "step",
        "frequency": length.total_steps + 1,
        "monitor": length.monitor,
    }


def _by_step(optimizer: Optimizer, factor: Callable[[int], float]) -> dict[str, Any]:
    return {"scheduler": LambdaLR(optimizer, factor), "interval": "step", "frequency": 1}


def _warmup(step: int, warmup_steps: int) -> float:
    return min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0
