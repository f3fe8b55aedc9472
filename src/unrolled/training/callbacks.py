"""What a run does besides learning: it keeps its record, and shows where it is."""

import os
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from torch.optim.lr_scheduler import ReduceLROnPlateau

from unrolled.runs.progress import Progress
from unrolled.runs.record import Record
from unrolled.training.module import TaskModule
from unrolled.training.schedules import Length

# Seconds between two writes of progress.json: often enough to follow, too rare to cost anything.
PROGRESS_INTERVAL = 0.5


class StopAtLength(pl.Callback):
    """End the run at its last step with a validation, wherever the interval falls.

    Lightning alone would stop between two validations, and the last weights would never be judged.
    """

    def __init__(self, total_steps: int) -> None:
        self.total_steps = total_steps

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step >= self.total_steps:
            trainer.should_stop = True


class StepPlateau(pl.Callback):
    """Show each validation's result to a schedule that waits for a plateau."""

    def on_validation_end(self, trainer: pl.Trainer, *_: Any) -> None:
        for schedule in trainer.lr_scheduler_configs:
            if schedule.reduce_on_plateau:
                assert isinstance(schedule.scheduler, ReduceLROnPlateau)
                schedule.scheduler.step(trainer.callback_metrics[str(schedule.monitor)])


class RecordKeeper(pl.Callback):
    """Write the record at each validation, the progress twice a second, and measure the time."""

    def __init__(self, record: Record, folder: Path, length: Length, device: str) -> None:
        self.record = record
        self.folder = folder
        self.progress = Progress(
            "training", total_steps=length.total_steps, device=device, pid=os.getpid()
        )
        self.monitor = length.monitor
        self.started: float | None = None
        self.created = time.time()
        self.earlier = 0.0
        self.paused = 0.0
        self.evaluating_since = 0.0
        self.tokens = 0
        self.written = 0.0

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps of the record: the curves, and how long they took."""
        if self.started is not None:
            self._write_timing()
        return {
            "history": self.record.history,
            "seconds": self.record.timing.get("seconds", 0.0),
            "tokens": self.tokens,
            "total_seconds": self.record.timing.get("total_seconds", 0.0)
            + time.time()
            - self.created,
            "started": self.record.timing["started"],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from where a checkpoint's run was; what came after it is done again."""
        self.record.history = list(state_dict["history"])
        self.earlier, self.tokens = state_dict["seconds"], state_dict["tokens"]
        self.record.timing |= {
            "seconds": self.earlier,
            "tokens": self.tokens,
            "started": state_dict["started"],
            "total_seconds": state_dict["total_seconds"],
        }

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.started = time.perf_counter()
        self.progress.step = trainer.global_step
        self.progress.write(self.folder)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        self.tokens += batch.tokens
        if time.perf_counter() - self.written >= PROGRESS_INTERVAL:
            self._write_progress(trainer, outputs)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.evaluating_since = time.perf_counter()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, TaskModule)
        results = pl_module.results["validation"]
        self._pause()
        self.record.history.append(
            {
                "step": trainer.global_step,
                "epoch": trainer.current_epoch + 1,
                "seconds": self._training_seconds(),
                "train/loss": pl_module.since_validation.mean(),
                **results,
            }
        )
        pl_module.since_validation.reset()
        self._write_timing()
        self.record.write(self.folder)
        self.progress.metric, self.progress.value = self.monitor, results.get(self.monitor)
        self._write_progress(trainer)
        self._pause()

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.progress.stage = "testing"
        self.progress.step = max(self.progress.step, trainer.global_step)
        self.progress.write(self.folder)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._write_timing()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        self._write_timing()

    def _pause(self) -> None:
        """Count the time since a validation began as none of training."""
        now = time.perf_counter()
        self.paused += now - self.evaluating_since
        self.evaluating_since = now

    def _training_seconds(self) -> float:
        assert self.started is not None
        return self.earlier + time.perf_counter() - self.started - self.paused

    def _write_timing(self) -> None:
        if self.started is None:
            return
        seconds = self._training_seconds()
        self.record.timing["seconds"] = seconds
        self.record.timing["tokens_per_second"] = self.tokens / seconds
        self.record.timing["tokens"] = self.tokens

    def _write_progress(self, trainer: pl.Trainer, outputs: Any = None) -> None:
        seconds = self._training_seconds()
        self.progress.step = trainer.global_step
        self.progress.epoch = trainer.current_epoch + 1
        self.progress.seconds = seconds
        self.progress.tokens_per_second = self.tokens / seconds
        if outputs is not None:
            self.progress.loss = float(outputs["loss"])
        self.progress.write(self.folder)
        self.written = time.perf_counter()
