"""Going on exactly: everything the next step depends on is written between two steps and put back.

Lightning's checkpoint has weights, optimizer, schedule, the memories of callbacks and its own
counters. What it leaves out is added here: every random state, the hidden state that is carried,
the sums of metrics, the place in the stream, and how much of each log is from before.
"""

import io
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import move_data_to_device

from unrolled.runs.record import CHECKPOINTS
from unrolled.training import logs
from unrolled.training.checkpoints import EXTRA, LAST, keep_previous
from unrolled.training.loggers import flush
from unrolled.training.module import TaskModule
from unrolled.training.schedules import Length
from unrolled.training.stopping import StopRequest

FORMAT = 1
# Seconds since the last checkpoint after which one is written before a validation, too: a run that
# is ended in its validation is not between two steps, and goes back.
WORTH = 10.0
# Of which writing may take this share.
SHARE = 0.02


class Continuation(pl.Callback):
    """Write ``last.ckpt`` at an interval, when the run is asked to end, and when training is done;
    or put such a state back before the first step.

    Args:
        identity: of the run, so that no other run goes on from its state.
        every_steps, every_minutes: between two checkpoints, whichever comes first; None: not so.
        length: of the run; before a validation a checkpoint comes earlier.
        stop: asked before each step.
        ask_every: steps after which several ranks agree on whether to write or to stop.
        precision: in which the run computes.
        content: of the checkpoint to go on from.
    """

    def __init__(
        self,
        folder: Path,
        identity: str,
        *,
        every_steps: int | None,
        every_minutes: float | None,
        length: Length,
        stop: StopRequest,
        ask_every: int,
        precision: str,
        content: dict[str, Any] | None = None,
    ) -> None:
        self.folder = folder
        self.identity = identity
        self.every_steps = every_steps
        self.every_seconds = None if every_minutes is None else 60 * every_minutes
        self.length = length
        self.stop = stop
        self.ask_every = ask_every
        self.precision = precision
        self.content = content
        self.written = time.monotonic()
        self.cost = 0.0
        self.ranks: list[dict[str, Any]] = []
        self.done = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # After Lightning took them, which would end the run with the step unsaved.
        self.stop.listen()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self.content is not None:
            self._put_back(trainer, pl_module, self.content)
            self.content = None
            if self.stop.pauses_at(trainer.global_step):
                # It had come here before it was cut off; another step would go beyond.
                self.stop.end(trainer.global_step)
            return
        # All ranks know the step to pause at, and need not ask each other.
        pause = self.stop.pauses_at(trainer.global_step)
        stop = pause or self._agreed(trainer, self.stop.due)
        if stop or self._due(trainer):
            self._write(trainer, pl_module)
        if stop:
            self.stop.end(trainer.global_step)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.done = True
        self._write(trainer, pl_module)

    def on_validation_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        self._end_evaluation(trainer)

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.stop.listen()

    def on_test_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        self._end_evaluation(trainer)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        assert isinstance(pl_module, TaskModule)
        checkpoint[EXTRA] = {
            "format": FORMAT,
            "identity": self.identity,
            "done": self.done,
            "ranks": self.ranks,
            "threads": torch.get_num_threads(),
            "precision": self.precision,
            "logs": logs.sizes(self.folder, pl_module.task.appended_files),
        }

    def _due(self, trainer: pl.Trainer) -> bool:
        """Whether a checkpoint is; all ranks come to the same answer."""
        step = trainer.global_step
        if self.every_steps is not None and step and step % self.every_steps == 0:
            return True
        if self.every_seconds is None:
            return False
        validates = self.length.validates_at(step + 1)
        worth = max(WORTH, self.cost / SHARE) if validates else self.every_seconds
        age = time.monotonic() - self.written
        return self._agreed(trainer, age >= min(worth, self.every_seconds), ask=validates)

    def _agreed(self, trainer: pl.Trainer, wish: bool, *, ask: bool = False) -> bool:
        """Whether any rank wishes so; asked now and then, since asking makes the ranks wait."""
        if trainer.world_size == 1:
            return wish
        if trainer.global_step % self.ask_every and not ask:
            return False
        return not trainer.strategy.reduce_boolean_decision(not wish, all=True)

    def _end_evaluation(self, trainer: pl.Trainer) -> None:
        # Ranks that evaluate do not communicate; each gets the same signal, or reads a clock.
        if self.stop.due:
            self.stop.end(trainer.global_step)

    def _write(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        assert isinstance(module, TaskModule)
        started = time.monotonic()
        mine = {"random": random_states(), "carried": module.training_state_dict()}
        self.ranks = [mine]
        if trainer.world_size > 1:
            self.ranks = gather_from_ranks(mine, trainer.world_size)
        flush(trainer.loggers)
        if trainer.is_global_zero:
            keep_previous(self.folder)
        trainer.save_checkpoint(self.folder / CHECKPOINTS / LAST)
        self.written = time.monotonic()
        self.cost = self.written - started

    def _put_back(
        self, trainer: pl.Trainer, module: pl.LightningModule, content: dict[str, Any]
    ) -> None:
        assert isinstance(module, TaskModule)
        # Lightning counts the batch that was under way at the time of saving, and counts it again.
        loop = trainer.fit_loop.epoch_loop
        loop.batch_progress.total.ready -= 1
        loop._batches_that_stepped -= 1
        mine = content[EXTRA]["ranks"][trainer.global_rank]
        module.load_training_state_dict(move_data_to_device(mine["carried"], module.device))
        # Last, since setting up draws numbers.
        set_random_states(mine["random"])


def gather_from_ranks(mine: dict[str, Any], world_size: int) -> list[dict[str, Any]]:
    """What each rank has, in the order of the ranks."""
    buffer = io.BytesIO()
    torch.save(mine, buffer)
    everyones = [b""] * world_size
    # As bytes: a tensor inside an object does not survive the way that PyTorch sends objects.
    torch.distributed.all_gather_object(everyones, buffer.getvalue())
    return [torch.load(io.BytesIO(part), weights_only=True) for part in everyones]


def place(content: dict[str, Any]) -> tuple[int, int]:
    """How many passes over the training data the checkpoint's run had done, and how many batches
    of the one that was under way."""
    loop = content["loops"]["fit_loop"]
    epochs = loop["epoch_progress"]["current"]["completed"]
    return int(epochs), int(loop["epoch_loop.batch_progress"]["current"]["completed"])


def random_states() -> dict[str, Any]:
    """The state of every generator that a run may draw from, as plain data."""
    numpy = np.random.get_state(legacy=False)
    assert isinstance(numpy, dict)
    inner = {**numpy["state"], "key": torch.from_numpy(numpy["state"]["key"].copy())}
    return {
        "python": random.getstate(),
        "numpy": {**numpy, "state": inner},
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_states(states: dict[str, Any]) -> None:
    """Put back what ``random_states`` gave."""
    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal), gauss))
    numpy = states["numpy"]
    inner = {**numpy["state"], "key": numpy["state"]["key"].numpy()}
    np.random.set_state({**numpy, "state": inner})
    torch.set_rng_state(states["torch"])
    if states["cuda"]:
        torch.cuda.set_rng_state_all(states["cuda"])
