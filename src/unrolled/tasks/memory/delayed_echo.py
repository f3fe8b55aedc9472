"""Delayed echo: at each step, give the symbol that was read some steps ago."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unrolled.data.sequences import IGNORE
from unrolled.tasks.memory.symbols import Guesses, Ints, LengthsTask, small
from unrolled.tasks.task import require_at_least


@dataclass(kw_only=True, eq=False)
class DelayedEcho(LengthsTask):
    """A stream of random symbols, each to be given ``delay`` steps after it was read.

    The last ``delay`` symbols must be held at any time, and in order: the state is a queue of
    ``delay`` · log2(``symbols``) bits. Nothing is asked for at the first ``delay`` steps.

    Attributes:
        delay: steps between a symbol and its echo.
        symbols: how many there are.
    """

    delay: int
    symbols: int

    def __post_init__(self) -> None:
        require_at_least(1, delay=self.delay)
        require_at_least(2, symbols=self.symbols)
        super().__post_init__()

    @property
    def inputs(self) -> int:
        return self.symbols

    @property
    def classes(self) -> int:
        return self.symbols

    def least_length(self) -> int:
        return self.delay + 1

    def draw(
        self, generator: np.random.Generator, length: int, examples: int
    ) -> tuple[Ints, Ints]:
        inputs = small(generator.integers(0, self.symbols, (examples, length)), self.symbols)
        targets = np.full_like(inputs, IGNORE)
        targets[:, self.delay :] = inputs[:, : -self.delay]
        return inputs, targets

    def guesses(self, lengths: Sequence[int]) -> Guesses:
        asked = np.asarray(lengths) - self.delay
        return {
            "chance": {
                "loss": math.log(self.symbols),
                "accuracy": 1 / self.symbols,
                "sequence_accuracy": float(np.mean(float(self.symbols) ** -asked)),
            }
        }
