"""Plain Lightning: the module and the trainer that a user would write.

    python -m benchmarks.peers.lightning JOB REPORT.json

Logger, checkpoint, progress bar and sanity check are Lightning's defaults; the loss is logged at
each step. The state is carried from batch to batch.
"""

import math
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from benchmarks.peers.corpus import Corpus, batchify
from benchmarks.peers.job import EVALUATION_BATCH, Job, Marks
from benchmarks.peers.network import LanguageModel, detach, optimizer_of
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

Batch = tuple[Tensor, Tensor]


class Chunks(Dataset[Batch]):
    """Streams ``[time, batch]`` cut into chunks of time: inputs, and the tokens after them."""

    def __init__(self, ids: Tensor, length: int) -> None:
        self.ids, self.length = ids, length

    def __len__(self) -> int:
        return math.ceil((len(self.ids) - 1) / self.length)

    def __getitem__(self, index: int) -> Batch:
        start = index * self.length
        targets = self.ids[start + 1 : start + 1 + self.length]
        return self.ids[start : start + len(targets)], targets


class LitLanguageModel(pl.LightningModule):
    """Trains the same network as the plain script."""

    def __init__(self, job: Job, vocabulary: int) -> None:
        super().__init__()
        self.job = job
        self.model = LanguageModel(job, vocabulary)
        self.state: Any = None
        self.training_state: Any = None

    def _loss(self, batch: Batch) -> Tensor:
        inputs, targets = batch
        scores, state = self.model(inputs, self.state)
        self.state = detach(state)
        return F.cross_entropy(scores, targets.flatten())

    def on_train_epoch_start(self) -> None:
        self.state = None

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss = self._loss(batch)
        self.log("train/loss", loss, batch_size=batch[1].numel())
        return loss

    def on_validation_epoch_start(self) -> None:
        self.training_state, self.state = self.state, None

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.log("validation/loss", self._loss(batch), batch_size=batch[1].numel())

    def on_validation_epoch_end(self) -> None:
        self.state = self.training_state

    def on_test_epoch_start(self) -> None:
        self.state = None

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self.log("test/loss", self._loss(batch), batch_size=batch[1].numel())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return optimizer_of(self.job, self.model)


class Clock(pl.Callback):
    """Notes the ends of steps and parts; no part of what a user writes."""

    def __init__(self, marks: Marks) -> None:
        self.marks, self.losses = marks, list[Tensor]()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.marks.begin()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, *_: Any
    ) -> None:
        self.losses.append(outputs["loss"])
        self.marks.step_ended()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.sanity_checking:
            # Reading the values waits for the device.
            loss = torch.stack(self.losses).mean().item()
            self.marks.part_ended(trainer.global_step, loss)
            self.losses.clear()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.sanity_checking:
            self.marks.evaluated(math.exp(trainer.callback_metrics["validation/loss"].item()))


def main(job: Job, report: Path) -> None:
    """Train, and leave the report."""
    pl.seed_everything(job.seed)
    corpus, marks = Corpus(Path(job.folder), job.unit), Marks()
    train, valid, test = (
        DataLoader(Chunks(batchify(ids, batch), job.length), batch_size=None)
        for ids, batch in (
            (corpus.train, job.batch),
            (corpus.valid, EVALUATION_BATCH),
            (corpus.test, EVALUATION_BATCH),
        )
    )
    module = LitLanguageModel(job, len(corpus.ids))
    with tempfile.TemporaryDirectory() as folder:
        trainer = pl.Trainer(
            accelerator="gpu" if job.device == "cuda" else "cpu",
            devices=1,
            max_steps=job.steps,
            max_epochs=-1,
            val_check_interval=job.validate_every,
            check_val_every_n_epoch=None,
            gradient_clip_val=job.clip,
            default_root_dir=folder,
            callbacks=[Clock(marks)],
        )
        trainer.fit(module, train, valid)
        trainer.test(module, test, verbose=False)
    perplexity = math.exp(trainer.callback_metrics["test/loss"].item())
    count = sum(parameter.numel() for parameter in module.parameters())
    marks.write(report, parameters=count, test_perplexity=perplexity, precision="fp32")


if __name__ == "__main__":
    main(Job.from_json(sys.argv[1]), Path(sys.argv[2]))
