"""A step of ours against Lightning's, which a run with a profiler takes: equal to the last bit."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from torch.utils.data import DataLoader, TensorDataset

from unrolled.runs.record import CHECKPOINTS, read_record
from unrolled.training import step_loop
from unrolled.training.checkpoints import LAST, read_content
from unrolled.training.run import run
from unrolled.training.step_loop import HOOKS, StepLoop, is_plain

Configure = Callable[..., DictConfig]


class Model(pl.LightningModule):
    """The smallest that trains; it notes its own hooks."""

    def __init__(self, kind: Any, notes: list[str], schedule: dict[str, Any]) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.kind, self.notes, self.schedule = kind, notes, schedule

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.notes.append("training_step")
        return self.layer(batch[0]).square().mean()

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        self.notes.append("the module's on_before_optimizer_step")

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.notes.append(f"the module's on_train_batch_end {batch_idx} {float(outputs['loss'])}")

    def configure_optimizers(self) -> Any:
        optimizer: torch.optim.Optimizer = self.kind(self.parameters(), lr=0.1)
        schedule: Any = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, **self.schedule},
        }

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        super().lr_scheduler_step(scheduler, metric)
        self.notes.append(f"lr_scheduler_step {metric} to {scheduler.get_last_lr()}")


class Notes(pl.Callback):
    """Has every hook of a step."""

    def __init__(self, notes: list[str]) -> None:
        self.notes = notes

    def on_train_batch_start(self, *_: Any) -> None:
        self.notes.append("on_train_batch_start")

    def on_before_zero_grad(self, *_: Any) -> None:
        self.notes.append("on_before_zero_grad")

    def on_before_backward(self, trainer: Any, module: Any, loss: torch.Tensor) -> None:
        self.notes.append(f"on_before_backward {loss.item()}")

    def on_after_backward(self, *_: Any) -> None:
        self.notes.append("on_after_backward")

    def on_before_optimizer_step(self, *_: Any) -> None:
        self.notes.append("on_before_optimizer_step")

    def on_train_batch_end(self, *_: Any) -> None:
        self.notes.append("on_train_batch_end")


class Given(pl.Callback):
    """Has a hook as an attribute, as Lightning's LambdaCallback does."""

    def __init__(self, notes: list[str]) -> None:
        self.on_train_batch_start = lambda *args: notes.append(f"given {args[-1]}")  # type: ignore[method-assign]


def fit(
    ours: bool,
    callbacks: Callable[[list[str]], list[pl.Callback]],
    kind: Any = torch.optim.SGD,
    schedule: dict[str, Any] | None = None,
) -> tuple[list[str], pl.Trainer]:
    """What was called in four steps of two epochs together, and the trainer."""
    notes: list[str] = []
    torch.manual_seed(0)
    trainer = pl.Trainer(
        max_epochs=2,
        accelerator="cpu",
        callbacks=callbacks(notes),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    if ours:
        trainer.fit_loop.epoch_loop = StepLoop(trainer)
    trainer.fit(Model(kind, notes, schedule or {}), DataLoader(TensorDataset(torch.ones(2, 1))))
    return notes, trainer


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.LBFGS])
def test_hooks_are_called_in_lightnings_order(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_loop, "KNOWN", (__name__.split(".")[0],))

    def both(notes: list[str]) -> list[pl.Callback]:
        return [Notes(notes), Given(notes)]

    ours, trainer = fit(True, both, kind)
    assert is_plain(trainer)
    theirs, _ = fit(False, both, kind)
    assert ours == theirs
    assert {name for name in HOOKS if name in " ".join(ours)} == set(HOOKS)
    # LBFGS asks for the loss more than once a step.
    assert (ours.count("training_step") > 4) == (kind is torch.optim.LBFGS)


@pytest.mark.parametrize(("interval", "frequency"), [("step", 1), ("step", 2), ("epoch", 1)])
def test_schedules_take_their_steps_where_lightning_does(interval: str, frequency: int) -> None:
    schedule = {"interval": interval, "frequency": frequency}
    ours, trainer = fit(True, lambda notes: [], schedule=schedule)
    assert is_plain(trainer)
    assert ours == fit(False, lambda notes: [], schedule=schedule)[0]
    taken = 4 if interval == "step" else 2
    assert sum("lr_scheduler_step" in note for note in ours) == taken // frequency


class LogsThroughLightning(pl.Callback):
    """What a plug-in's callback may do, which asks for more around a step."""

    def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
        module.log("steps", float(trainer.global_step))


def test_a_callback_from_elsewhere_may_log_through_lightning() -> None:
    _, trainer = fit(True, lambda notes: [LogsThroughLightning()])
    assert not is_plain(trainer)
    assert trainer.callback_metrics["steps"] == 4


def same(ours: Any, theirs: Any, path: str = "") -> None:
    """Equal to the last bit, but for what the clock or the folder says."""
    if isinstance(ours, dict):
        assert ours.keys() == theirs.keys(), path
        for key in ours.keys() - {"seconds", "total_seconds", "started"}:
            if "BestCheckpoint" not in str(key):
                same(ours[key], theirs[key], f"{path}/{key}")
    elif isinstance(ours, torch.Tensor):
        assert torch.equal(ours, theirs), path
    elif isinstance(ours, list | tuple):
        assert len(ours) == len(theirs), path
        for place, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
            same(mine, other, f"{path}/{place}")
    else:
        assert ours == theirs, path


@pytest.mark.parametrize(
    "overrides",
    [
        ["trainer.gradient_clip=0.1"],
        ["scheduler=plateau", "trainer.max_steps=null", "trainer.max_epochs=2"],
        ["scheduler=exponential", "trainer.validate_every_steps=null", "model.dropout=0.2"],
        ["optimizer=nt_asgd", "task.variable_length=true", "trainer.max_steps=45"],
    ],
)
def test_a_run_is_the_one_that_lightnings_loop_makes(
    overrides: list[str], configure: Configure, tmp_path: Path
) -> None:
    kept: list[Any] = []
    for profiler in ("null", "simple"):
        outcome = run(
            configure(
                "logger=none",
                f"trainer.profiler={profiler}",
                f"paths.outputs={tmp_path / profiler}",
                *overrides,
            )
        )
        assert outcome.folder is not None
        content = read_content(outcome.folder / CHECKPOINTS / LAST)
        kept.append((read_record(outcome.folder).history, content))
    same(kept[0], kept[1])
    assert kept[0][0][-1]["step"] == kept[0][1]["global_step"] > 0
