"""Bucket sort: read tokens of a small vocabulary, then give them in order of size."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unrolled.data.sequences import IGNORE
from unrolled.tasks.memory.symbols import Guesses, Ints, LengthsTask, entropy, mean_over, small
from unrolled.tasks.task import require_at_least


@dataclass(kw_only=True, eq=False)
class BucketSort(LengthsTask):
    """Delétang et al. 2023 (bucket sort), which asks for counters.

    ``length`` random tokens are read, then a marker and blanks; from the marker on, the tokens are
    to be given, the smallest first. A sequence has twice as many steps as its length.

    Attributes:
        vocabulary: how many different tokens there are.
    """

    vocabulary: int

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(2, vocabulary=self.vocabulary)

    @property
    def inputs(self) -> int:
        return self.vocabulary + 2

    @property
    def classes(self) -> int:
        return self.vocabulary

    def steps(self, length: int) -> int:
        return 2 * length

    def draw(
        self, generator: np.random.Generator, length: int, examples: int
    ) -> tuple[Ints, Ints]:
        tokens = generator.integers(0, self.vocabulary, (examples, length))
        inputs = np.full((examples, 2 * length), self.vocabulary + 1)
        inputs[:, :length] = tokens
        inputs[:, length] = self.vocabulary
        targets = np.full_like(inputs, IGNORE)
        targets[:, length:] = np.sort(tokens, axis=1)
        return small(inputs, self.inputs), small(targets, self.inputs)

    def guesses(self, lengths: Sequence[int]) -> Guesses:
        """Besides chance, what the place in a sorted string tells of its token there without any
        knowledge of the tokens: much, where the string is long."""
        k = self.vocabulary
        placed = [self.at_places(length) for length in lengths]
        return {
            "chance": {
                "loss": math.log(k),
                "accuracy": 1 / k,
                "sequence_accuracy": float(np.mean([float(k) ** -n for n in lengths])),
            },
            "place alone": {
                "loss": mean_over((entropy(p) / len(p) for p in placed), lengths),
                "accuracy": mean_over((p.max(1).mean() for p in placed), lengths),
            },
        }

    def at_places(self, length: int) -> npt.NDArray[np.float64]:
        """How likely each token is at each place of the sorted string: ``[length, tokens]``."""
        from scipy.stats import binom

        # The j-th smallest is at most v where at least j tokens are.
        at_most = np.arange(self.vocabulary + 1) / self.vocabulary
        reached = binom.sf(np.arange(length)[:, None], length, at_most)
        return np.diff(reached, axis=1)
