"""What measuring costs: a training step with its metrics against the same step without them.

    python benchmarks/metrics.py [--repeats 5] [--threads 1]

Two layers of 200, batch 20, sequence 35 (Zaremba's small model), at vocabularies of 100, 10,000
and 50,000. Training, through Lightning's trainer: the running loss, the check for divergence and
the log every 20 steps, against the same task with all three taken out. Both take turns in blocks
of 20 steps of one training, and the ratio is the median over pairs of blocks. Evaluation: the
metric's update against computing only the loss of the same hidden states, output layer included in
both, and as a share of an evaluation
step, forward pass included.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from pytorch_lightning.loggers import Logger
from torch import Tensor
from torch.utils.data import DataLoader

from unrolled.config.compose import compose_run
from unrolled.data.batches import Batch
from unrolled.data.streams import Streams
from unrolled.models.build import build_model
from unrolled.models.model import RecurrentModel
from unrolled.recurrence.stack import detach
from unrolled.runs.identity import plain
from unrolled.tasks.build import build_task
from unrolled.training.module import TaskModule
from unrolled.training.schedules import Length, constant
from unrolled.training.trainer import silence_lightning

VOCABULARIES = (100, 10_000, 50_000)
# Pairs of blocks for each one asked for: small steps are cheap, and noisier.
PAIRS = {100: 6, 10_000: 2, 50_000: 1}
BATCH, SEQUENCE, LOG_EVERY = 20, 35, 20


@dataclass(frozen=True)
class RandomTokens:
    """As much of a task's data as its model and its metrics ask for."""

    vocabulary_size: int
    name: str = "random"
    fingerprint: str = ""

    @property
    def fitted(self) -> "RandomTokens":
        return self

    def tokens_per_character(self, split: str) -> float:
        return 1.0

    def describe(self) -> dict[str, Any]:
        return {}

    def write(self, folder: Path) -> None: ...


class Switched(TaskModule):
    """The task as it is, or the same training without any bookkeeping."""

    measuring = True

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        if self.measuring:
            return super().training_step(batch, batch_idx)
        hidden, states = self.model(batch.inputs, self.states)
        self.states = detach(states)
        return self.model.head.loss(hidden, batch.targets) / batch.size


class Sink(Logger):
    """A logger that writes nothing: what is measured is the metrics, not a file format."""

    @property
    def name(self) -> str:
        return "sink"

    @property
    def version(self) -> str:
        return ""

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None: ...

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None: ...


class Switch(pl.Callback):
    """Turn the bookkeeping on and off after each block of ``LOG_EVERY`` steps, and time each."""

    def __init__(self) -> None:
        self.seconds: dict[bool, list[float]] = {True: [], False: []}
        self.started = 0.0

    def on_train_batch_end(self, trainer: pl.Trainer, task: Any, *_: Any) -> None:
        if trainer.global_step % LOG_EVERY:
            return
        now = time.perf_counter()
        # The first two blocks warm up.
        if trainer.global_step > 2 * LOG_EVERY:
            self.seconds[task.measuring].append((now - self.started) / LOG_EVERY)
        task.measuring = not task.measuring
        self.started = time.perf_counter()


def configuration() -> DictConfig:
    """The small model of the literature, with conf's defaults otherwise."""
    sizes = ("model.embedding_size=200", "model.hidden_size=200", "model.layers=2")
    return plain(compose_run(["cell=lstm", *sizes]))


def make_model(vocabulary: int) -> RecurrentModel:
    """The small model of the literature, for so many words."""
    config = configuration()
    task = build_task(config.task)
    return build_model(config, task.parts(RandomTokens(vocabulary), config.model))


def make_module(vocabulary: int, steps: int) -> Switched:
    """The module around a fresh model."""
    torch.manual_seed(0)
    length = Length(steps, steps, steps, "validation/loss")
    return Switched(
        build_task(configuration().task),
        RandomTokens(vocabulary),
        make_model(vocabulary),
        lambda parameters: torch.optim.AdamW(parameters, fused=True),
        lambda optimizer: constant(optimizer, length, name="constant", warmup_steps=0),
        log_every_steps=LOG_EVERY,
    )


def training_row(vocabulary: int, repeats: int) -> str:
    """One line of the training table, from one training in which the two take turns."""
    steps = 2 * LOG_EVERY * (1 + repeats * PAIRS[vocabulary])
    ids = np.random.default_rng(0).integers(0, vocabulary, BATCH * SEQUENCE * steps)
    switch = Switch()
    trainer = pl.Trainer(
        accelerator="cpu",
        max_steps=steps,
        limit_val_batches=0,
        gradient_clip_val=1.0,
        logger=Sink(),
        log_every_n_steps=1,
        callbacks=[switch],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    streams = Streams(ids, 0, BATCH, SEQUENCE)
    trainer.fit(make_module(vocabulary, steps), DataLoader(streams, batch_size=None))
    on, off = switch.seconds[True], switch.seconds[False]
    ratios = sorted(one / other for one, other in zip(on, off, strict=True))
    return (
        f"{vocabulary:>10,} {milliseconds(on)} {milliseconds(off)} "
        f"{statistics.median(ratios):>8.3f}   {ratios[0]:.3f} to {ratios[-1]:.3f}"
    )


def evaluation_row(vocabulary: int, repeats: int) -> str:
    """One line of the evaluation table."""
    model = make_model(vocabulary).eval()
    tokens = torch.randint(0, vocabulary, (SEQUENCE, BATCH))
    metrics = build_task(configuration().task).evaluator(RandomTokens(vocabulary), "test")
    with torch.no_grad():
        hidden, _ = model(tokens)

        def loss() -> None:
            model.head.loss(hidden, tokens)

        def update() -> None:
            metrics.update(model.head, hidden, tokens)

        def forward() -> None:
            model(tokens)

        forwards, updates, losses = alternated(repeats, forward, update, loss)
    ratio = statistics.median(updates) / statistics.median(losses)
    pairs = zip(forwards, updates, losses, strict=True)
    whole = statistics.median((f + u) / (f + one) for f, u, one in pairs)
    return (
        f"{vocabulary:>10,} {milliseconds(forwards)} {milliseconds(updates)} "
        f"{milliseconds(losses)} {ratio:>8.2f} {whole:>8.2f}"
    )


def alternated(repeats: int, *functions: Callable[[], None]) -> list[list[float]]:
    """Seconds of each function, measured in turn; the first round is not counted."""
    seconds: list[list[float]] = [[] for _ in functions]
    for repeat in range(repeats + 1):
        for function, found in zip(functions, seconds, strict=True):
            started = time.perf_counter()
            function()
            if repeat:
                found.append(time.perf_counter() - started)
    return seconds


def milliseconds(seconds: list[float]) -> str:
    """The median, in a column."""
    return f"{1000 * statistics.median(seconds):>11.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument(
        "--repeats", type=int, default=5, help="pairs of blocks at 50,000 words (5)"
    )
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch (1)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    silence_lightning()
    warnings.filterwarnings("ignore", ".*Skipping val loop.*")
    print(f"PyTorch {torch.__version__}, {options.threads} threads, {options.repeats} repeats")
    print(f"\ntraining, logging every {LOG_EVERY} steps; milliseconds a step, median")
    print("vocabulary     metrics     without    ratio   lowest to highest")
    for vocabulary in VOCABULARIES:
        print(training_row(vocabulary, options.repeats), flush=True)
    print(f"\nevaluation of {BATCH * SEQUENCE} tokens; milliseconds, median")
    print("vocabulary     forward      update   loss only    ratio     step")
    for vocabulary in VOCABULARIES:
        print(evaluation_row(vocabulary, 3 * options.repeats), flush=True)
    print("\nratio: update / loss only; step: the same with the forward pass in both")


if __name__ == "__main__":
    main()
