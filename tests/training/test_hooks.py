"""Hooks of a step: those that somebody wrote are called, the empty ones are not."""

from typing import Any

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, TensorDataset

from unrolled.training.hooks import STEP_HOOKS, NoProfiler, leave_out_empty_hooks


class Model(pl.LightningModule):
    """The smallest that trains; it counts its own hook."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.stepped = 0

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return self.layer(batch[0]).square().mean()

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        self.stepped += 1

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


class Ends(pl.Callback):
    """Has one hook of a step."""

    def __init__(self) -> None:
        self.ends = 0

    def on_train_batch_end(self, *_: Any) -> None:
        self.ends += 1


def test_hooks_that_were_written_are_called_at_each_step() -> None:
    model, ends, given = Model(), Ends(), pl.Callback()
    starts: list[int] = []
    # As Lightning's LambdaCallback has its hooks.
    given.on_train_batch_start = lambda *args: starts.append(args[-1])  # type: ignore[method-assign]
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        profiler=NoProfiler(),
        callbacks=[ends, given],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    leave_out_empty_hooks(model, ends, given)
    trainer.fit(model, DataLoader(TensorDataset(torch.ones(4, 1))))
    assert (model.stepped, ends.ends, starts) == (4, 4, [0, 1, 2, 3])


def test_empty_hooks_are_passed_over() -> None:
    model, ends = Model(), Ends()
    leave_out_empty_hooks(model, ends)
    left = {name for name in STEP_HOOKS if getattr(ends, name) is not None}
    assert left == {"on_train_batch_end"}
    left = {name for name in STEP_HOOKS if getattr(model, name) is not None}
    assert left == {"on_before_optimizer_step"}
