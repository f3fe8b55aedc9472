"""Parity: whether a string of bits has an odd number of ones, asked for at its end."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unrolled.tasks.memory.symbols import Guesses, Ints, LengthsTask, at_the_end, small


@dataclass(kw_only=True, eq=False)
class Parity(LengthsTask):
    """Delétang et al. 2023 (parity check), a regular language.

    One bit of state is enough, but each one that is read turns it over, so that no part of the
    string may be forgotten and every prefix of it changes the answer.
    """

    @property
    def inputs(self) -> int:
        return 2

    @property
    def classes(self) -> int:
        return 2

    def draw(
        self, generator: np.random.Generator, length: int, examples: int
    ) -> tuple[Ints, Ints]:
        bits = generator.integers(0, 2, (examples, length))
        return small(bits, 2), small(at_the_end(bits.sum(1) % 2, length), 2)

    def guesses(self, lengths: Sequence[int]) -> Guesses:
        return {"chance": {"loss": math.log(2), "accuracy": 0.5, "sequence_accuracy": 0.5}}
