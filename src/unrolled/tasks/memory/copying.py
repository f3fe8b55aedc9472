"""The copying problem: read some symbols, wait, and give them again in order."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unrolled.tasks.memory.symbols import Guesses, Ints, SymbolTask, small
from unrolled.tasks.task import require_at_least

# What is read, and to be given, where there is nothing.
BLANK = 0


@dataclass(kw_only=True, eq=False)
class Copying(SymbolTask):
    """Hochreiter & Schmidhuber 1997, as Arjovsky, Shah & Bengio 2016 (section 4.1) have it.

    ``items`` random symbols, ``delay - 1`` blanks, a marker, and ``items`` blanks are read; blanks
    are to be given at the first ``delay + items`` steps, and then the symbols in their order. The
    loss is a mean over all steps. Who knows only where in the sequence they are has ``items`` ·
    ln(``symbols``) / (``delay`` + 2 ``items``). Accuracies leave the blanks out.

    Attributes:
        delay: steps from a symbol's reading to its giving, less ``items``.
        symbols: how many there are besides blank and marker.
        items: how many are to be remembered.
        test_delay: of the test split; None: as in the others.
    """

    silent = BLANK

    delay: int
    symbols: int
    items: int
    test_delay: int | None

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(1, delay=self.delay, items=self.items, test_delay=self.test_delay)
        require_at_least(2, symbols=self.symbols)

    @property
    def inputs(self) -> int:
        return self.symbols + 2

    @property
    def classes(self) -> int:
        return self.symbols + 1

    def lengths(self, split: str) -> Sequence[int]:
        return [self.delay if split != "test" or self.test_delay is None else self.test_delay]

    def steps(self, length: int) -> int:
        return length + 2 * self.items

    def draw(
        self, generator: np.random.Generator, length: int, examples: int
    ) -> tuple[Ints, Ints]:
        symbols = generator.integers(1, self.symbols + 1, (examples, self.items))
        inputs = np.full((examples, self.steps(length)), BLANK)
        targets = inputs.copy()
        rows = np.arange(examples)[:, None]
        inputs[rows, self.places(generator, length, examples)] = symbols
        inputs[:, length + self.items - 1] = self.symbols + 1
        targets[:, -self.items :] = symbols
        return small(inputs, self.inputs), small(targets, self.inputs)

    def places(self, generator: np.random.Generator, length: int, examples: int) -> Ints:
        """The steps at which the symbols are read, ``[examples, items]``, in order."""
        return np.tile(np.arange(self.items), (examples, 1))

    def guesses(self, lengths: Sequence[int]) -> Guesses:
        (length,) = lengths
        return {
            "chance": {
                "loss": self.items * math.log(self.symbols) / self.steps(length),
                "accuracy": 1 / self.symbols,
                "sequence_accuracy": float(self.symbols) ** -self.items,
            }
        }
