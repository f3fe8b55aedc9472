"""The adding problem: remember two marked numbers over a long sequence, and give their sum."""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from omegaconf import DictConfig

from unrolled.data.corpus import SPLITS
from unrolled.errors import ConfigError
from unrolled.runs.task import Metric
from unrolled.tasks.examples import ArrayData, ExampleTask
from unrolled.tasks.interface import Interface
from unrolled.tasks.task import Sources, require_at_least

if TYPE_CHECKING:
    from torch import Tensor

    from unrolled.models.build import Parts
    from unrolled.models.heads import Head

Floats = npt.NDArray[np.float32]
# Who always answers 1, the mean of the sum, is off by the variance of two uniform numbers' sum.
CHANCE = 1 / 6
# A sum counts as right within this distance (Hochreiter & Schmidhuber 1997, experiment 4).
RIGHT = 0.04


class Adding(ExampleTask):
    """Hochreiter & Schmidhuber 1997 (experiment 4), as in Bai, Kolter & Koltun 2018 (section 5.1).

    A sequence has two channels: numbers from U(0, 1), and marks that are 1 at two steps, one in
    each half, and 0 elsewhere. The target is the sum of the two marked numbers, asked for at the
    last step. The loss is the squared error; always answering 1 has 1/6 in the mean.

    Args:
        length: steps in a sequence, at least 2.
        train_examples, validation_examples, test_examples: how many sequences each split has.
        data_seed: what the sequences are drawn from, the same for every seed of a run.
    """

    primary = "mse"
    headline = ("mse", "accuracy")
    metrics = {
        "loss": Metric("min", "squared error"),
        "mse": Metric("min"),
        "accuracy": Metric("max"),
    }

    def __init__(
        self,
        *,
        name: str,
        length: int,
        train_examples: int,
        validation_examples: int,
        test_examples: int,
        data_seed: int,
        batch_size: int,
        evaluation_batch_size: int,
        monitor: str | None = None,
    ) -> None:
        super().__init__(
            name=name,
            monitor=monitor,
            batch_size=batch_size,
            evaluation_batch_size=evaluation_batch_size,
        )
        self.length = length
        self.examples = dict(
            zip(SPLITS, (train_examples, validation_examples, test_examples), strict=True)
        )
        self.data_seed = data_seed
        require_at_least(2, length=length)
        require_at_least(0, data_seed=data_seed)
        require_at_least(1, **{f"{split}_examples": n for split, n in self.examples.items()})
        if batch_size > train_examples:
            raise ConfigError(
                f"task.batch_size={batch_size}: there are task.train_examples={train_examples}; "
                "ask for more examples, or for a smaller batch"
            )

    def prepare(self, sources: Sources, fitted: Any = None) -> ArrayData:
        splits = {
            # A generator for each split, so that more training examples change no other split.
            split: _draw(np.random.default_rng([self.data_seed, place]), examples, self.length)
            for place, (split, examples) in enumerate(self.examples.items())
        }
        return ArrayData(f"{self.name}-{self.length}", splits)

    def parts(self, fitted: Any, model: DictConfig) -> "Parts":
        from unrolled.models.build import Parts
        from unrolled.models.encoders import Features
        from unrolled.models.heads import ValueHead

        return Parts(2, lambda: Features(2), lambda hidden, _: ValueHead(hidden, 1), "last")

    def interface(self, fitted: Any) -> Interface:
        return Interface(
            {"kind": "numbers", "features": ["number", "mark"]},
            {"kind": "values", "targets": ["sum of the two marked numbers"]},
        )

    def evaluator(self, data: ArrayData, split: str) -> "Errors":
        return Errors()

    def baselines(self, data: ArrayData) -> dict[str, dict[str, float]]:
        return {
            "chance": {
                f"{split}/{name}": CHANCE
                for split in ("validation", "test")
                for name in ("loss", "mse")
            }
        }


class Errors:
    """Squared errors, and how many sums are right, over a whole split."""

    def __init__(self) -> None:
        self.squared = 0.0
        self.right = 0
        self.examples = 0

    def update(self, head: "Head", hidden: "Tensor", targets: "Tensor") -> None:
        """Add a batch: ``hidden`` ``[batch, hidden_size]``, ``targets`` ``[batch, 1]``."""
        errors = (head.scores(hidden).double() - targets.double()).abs()
        self.squared += float(errors.square().sum())
        self.right += int((errors < RIGHT).sum())
        self.examples += len(targets)

    def compute(self) -> dict[str, float]:
        """The metrics of the task."""
        mse = self.squared / self.examples
        return {"loss": mse, "mse": mse, "accuracy": self.right / self.examples}


def _draw(generator: np.random.Generator, examples: int, length: int) -> tuple[Floats, Floats]:
    """Sequences ``[examples, length, 2]`` and their sums ``[examples, 1]``."""
    inputs = np.zeros((examples, length, 2), dtype=np.float32)
    inputs[..., 0] = generator.random((examples, length), dtype=np.float32)
    half = length // 2
    rows = np.arange(examples)
    first = generator.integers(0, half, examples)
    second = generator.integers(half, length, examples)
    inputs[rows, first, 1] = inputs[rows, second, 1] = 1.0
    sums = inputs[rows, first, 0] + inputs[rows, second, 0]
    return inputs, sums[:, None]
