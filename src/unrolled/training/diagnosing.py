"""Diagnostics during training, in TensorBoard and trackers: gradient flow, gates and Lyapunov
exponents at some of the validations."""

import logging
from typing import TYPE_CHECKING

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import Logger

from unrolled.diagnostics.diagnosis import diagnose
from unrolled.errors import UnrolledError
from unrolled.figures.draw import draw
from unrolled.tasks.boards import board_of
from unrolled.training.continuation import random_states, set_random_states
from unrolled.training.module import TaskModule

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from unrolled.diagnostics.findings import Diagnosis
    from unrolled.training.schedules import Length

# Memory length reads as much as an evaluation does, and is left to `unrolled diagnose`.
PARTS = ("gradients", "gates", "dynamics")

log = logging.getLogger(__name__)


def diagnosing(config: "DictConfig", length: "Length") -> list[pl.Callback]:
    """Diagnostics during training, where ``config.diagnostics`` asks for them."""
    options = config.diagnostics
    if options.every_validations is None:
        return []
    return [Diagnosing(options.every_validations, options.tokens, length.validation_interval)]


class Diagnosing(pl.Callback):
    """Diagnose the model as it is, without a trace in it or in any generator.

    Within a validation, so that its time is none of training's.

    Args:
        every: validations from one diagnosis to the next.
        tokens: of the validation split, roughly, that each part reads.
        interval: steps from one validation to the next; counted from the start, so that a
            checkpoint need keep nothing of this.
    """

    def __init__(self, every: int, tokens: int, interval: int) -> None:
        self.steps = every * interval
        self.tokens = tokens

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        loggers = [one for one in trainer.loggers if board_of(one) is not None]
        if trainer.global_step % self.steps or not loggers:
            return
        assert isinstance(pl_module, TaskModule)
        before = random_states()
        try:
            # Shares its tensors with the batches that training reads, and changes none.
            batches = pl_module.task.batches(pl_module.data, seed=0)
            # Lightning evaluates in inference mode, which has no gradients.
            with torch.inference_mode(False), torch.enable_grad():
                found = diagnose(
                    pl_module.model, batches, split="validation", tokens=self.tokens, only=PARTS
                )
        except UnrolledError as error:
            log.warning("no diagnostics at step %d: %s", trainer.global_step, error)
            return
        finally:
            set_random_states(before)
        for logger in loggers:
            _write(logger, found, trainer.global_step)


def _write(logger: Logger, found: "Diagnosis", step: int) -> None:
    board = board_of(logger)
    assert board is not None
    if found.numbers:
        numbers = {f"diagnostics/{name}": number for name, number in found.numbers.items()}
        logger.log_metrics(numbers, step)
    for name, figure in found.figures.items():
        picture = draw({"": [figure]}, name.replace("_", " "))
        board.add_figure(f"diagnostics/{name}", picture, step)
