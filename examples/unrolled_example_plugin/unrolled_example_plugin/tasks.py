"""The temporal order problem: in which order did two symbols come, long ago?"""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from omegaconf import DictConfig

from unrolled.runs.task import Metric
from unrolled.tasks.examples import ArrayData, ExampleTask
from unrolled.tasks.task import Sources, require_at_least

if TYPE_CHECKING:
    from torch import Tensor

    from unrolled.models.build import Parts
    from unrolled.models.heads import Head

# X and Y, whose order is asked for; the others only distract.
RELEVANT, DISTRACTORS = 2, 4
SYMBOLS = RELEVANT + DISTRACTORS
CLASSES = RELEVANT**2


class TemporalOrder(ExampleTask):
    """Hochreiter & Schmidhuber 1997, experiment 6a.

    A sequence of random distractors has X or Y at one step of its first half and X or Y at one
    of its second; the four orders are the classes, asked for at the end. The loss is the negative
    log-likelihood in nats; guessing is right once in four.

    Args:
        length: steps in a sequence, at least 2.
        examples: sequences in each split.
        data_seed: what the sequences are drawn from, the same for every seed of a run.
    """

    primary = "accuracy"
    metrics = {"loss": Metric("min", "nats"), "accuracy": Metric("max")}

    def __init__(
        self,
        *,
        name: str,
        monitor: str | None = None,
        length: int = 60,
        examples: int = 5000,
        data_seed: int = 0,
        batch_size: int = 50,
        evaluation_batch_size: int = 500,
    ) -> None:
        super().__init__(
            name=name,
            monitor=monitor,
            batch_size=batch_size,
            evaluation_batch_size=evaluation_batch_size,
        )
        require_at_least(2, length=length)
        require_at_least(1, examples=examples)
        self.length, self.examples, self.data_seed = length, examples, data_seed

    def prepare(self, sources: Sources, fitted: Any = None) -> ArrayData:
        splits = {
            split: self._draw(np.random.default_rng([self.data_seed, place]))
            for place, split in enumerate(("train", "validation", "test"))
        }
        return ArrayData(f"{self.name}-{self.length}", splits)

    def parts(self, fitted: Any, model: DictConfig) -> "Parts":
        from unrolled.models.build import Parts
        from unrolled.models.encoders import Features
        from unrolled.models.heads import ClassHead

        return Parts(
            SYMBOLS,
            lambda: Features(SYMBOLS),
            lambda hidden_size, encoder: ClassHead(hidden_size, CLASSES),
            "last",
        )

    def evaluator(self, data: ArrayData, split: str) -> "Orders":
        return Orders()

    def baselines(self, data: ArrayData) -> dict[str, dict[str, float]]:
        chance = {"loss": float(np.log(CLASSES)), "accuracy": 1 / CLASSES}
        return {
            "chance": {
                f"{split}/{name}": value
                for split in ("validation", "test")
                for name, value in chance.items()
            }
        }

    def _draw(
        self, generator: np.random.Generator
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """One-hot symbols ``[examples, length, SYMBOLS]`` and classes ``[examples]``."""
        size = (self.examples, self.length)
        symbols = generator.integers(RELEVANT, SYMBOLS, size)
        rows, half = np.arange(self.examples), self.length // 2
        places = (
            generator.integers(0, half, self.examples),
            generator.integers(half, self.length, self.examples),
        )
        first, second = generator.integers(0, RELEVANT, (2, self.examples))
        symbols[rows, places[0]], symbols[rows, places[1]] = first, second
        return np.eye(SYMBOLS, dtype=np.float32)[symbols], RELEVANT * first + second


class Orders:
    """The loss and the share of right answers over a whole split."""

    def __init__(self) -> None:
        self.loss = 0.0
        self.right = 0
        self.examples = 0

    def update(self, head: "Head", hidden: "Tensor", targets: "Tensor") -> None:
        """Add a batch: ``hidden`` ``[batch, hidden_size]``, ``targets`` ``[batch]``."""
        from torch.nn import functional as F

        scores = head.scores(hidden)
        self.loss += float(F.cross_entropy(scores.double(), targets, reduction="sum"))
        self.right += int((scores.argmax(-1) == targets).sum())
        self.examples += len(targets)

    def compute(self) -> dict[str, float]:
        """The metrics of the task."""
        return {"loss": self.loss / self.examples, "accuracy": self.right / self.examples}
