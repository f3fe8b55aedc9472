"""One training of one contestant: what it is told, and what it reports."""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

# What every weight and bias of every contestant is drawn from: U(-RANGE, RANGE).
RANGE = 0.1
# Streams of an evaluation.
EVALUATION_BATCH = 10


@dataclass(frozen=True, kw_only=True)
class Training:
    """A language model, and how it is trained.

    Attributes:
        cell: of conf/cell: ``rnn_tanh``, ``lstm``, ``gru``, ``min_gru`` or ``mgu``.
        batch, length: streams, and steps of truncated backpropagation through time.
        clip: the largest norm of the gradient.
        steps: how long.
    """

    cell: str
    embedding: int
    hidden: int
    layers: int
    batch: int
    length: int
    optimizer: Literal["sgd", "adam"]
    lr: float
    clip: float
    steps: int


@dataclass(frozen=True, kw_only=True)
class Job(Training):
    """A training and its text.

    Attributes:
        folder: holds ``train.txt``, ``valid.txt`` and ``test.txt``.
        unit: what a token is.
        validate_every: after how many steps the validation text is read.
    """

    folder: str
    unit: Literal["char", "word"]
    validate_every: int
    seed: int
    device: Literal["cpu", "cuda"] = "cpu"

    def to_json(self) -> str:
        """What ``from_json`` reads, for a command line."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> "Job":
        """The job that a command line names."""
        return Job(**json.loads(text))


class Marks:
    """When a contestant's steps ended, and what it had learned by then.

    Training is timed in parts of ``validate_every`` steps; the evaluation between two is not
    counted.
    """

    def __init__(self) -> None:
        self.first_step: float | None = None
        self.parts: list[dict[str, float]] = []
        self._began = 0.0

    def begin(self) -> None:
        """Training begins, or goes on after an evaluation."""
        self._began = time.perf_counter()

    def step_ended(self) -> None:
        """Note by the clock when the first step was done."""
        if self.first_step is None:
            self.first_step = time.time()

    def part_ended(self, step: int, loss: float) -> None:
        """A part of the training ends at ``step``, with ``loss`` as its mean per token."""
        seconds = time.perf_counter() - self._began
        self.parts.append({"step": step, "seconds": seconds, "loss": loss})

    def evaluated(self, perplexity: float) -> None:
        """The validation perplexity after the latest part; training goes on."""
        self.parts[-1]["perplexity"] = perplexity
        self.begin()

    def write(self, path: Path, **about: Any) -> None:
        """Leave everything as JSON, with what else is to be known about the contestant."""
        report = {"first_step": self.first_step, "parts": self.parts, **about}
        path.write_text(json.dumps(report), encoding="utf-8")
