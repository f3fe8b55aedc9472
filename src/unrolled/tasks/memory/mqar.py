"""Multi-query associative recall: pairs of a key and a value, then keys whose values are asked."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unrolled.data.sequences import IGNORE
from unrolled.errors import ConfigError
from unrolled.tasks.memory.symbols import Guesses, Ints, SymbolTask, small
from unrolled.tasks.task import require_at_least

BLANK = 0


@dataclass(kw_only=True, eq=False)
class MQAR(SymbolTask):
    """Arora et al. 2023 (Zoology).

    The first 2 ``pairs`` steps have keys and values in turn, no key and no value twice. Each key
    comes once more later on, and its value is asked for there; at the other steps a blank is read.
    Symbols are the blank, then the keys up to half the vocabulary, then the values.

    Attributes:
        pairs: how many associations are to be held.
        vocabulary: how many symbols there are.
        length: steps of a sequence.
        test_length: of the test split; None: as in the others.
        power: where a key comes again: the weight of the n-th step behind the pairs is
            n^(power - 1), so that most come soon; 1: anywhere alike.
    """

    pairs: int
    vocabulary: int
    length: int
    test_length: int | None
    power: float

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(1, pairs=self.pairs)
        require_at_least(4, vocabulary=self.vocabulary)
        require_at_least(0, power=self.power)
        if self.pairs > self.keys:
            raise ConfigError(
                f"task.pairs={self.pairs}: task.vocabulary={self.vocabulary} has {self.keys} "
                "keys, one for each pair; take a larger vocabulary, or fewer pairs"
            )
        for key, length in (("length", self.length), ("test_length", self.test_length)):
            if length is not None and length < 3 * self.pairs:
                raise ConfigError(
                    f"task.{key}={length}: task.pairs={self.pairs} with their queries take "
                    f"{3 * self.pairs} steps; take a longer sequence, or fewer pairs"
                )

    @property
    def keys(self) -> int:
        """How many keys there are."""
        return self.vocabulary // 2 - 1

    @property
    def inputs(self) -> int:
        return self.vocabulary

    @property
    def classes(self) -> int:
        return self.vocabulary - self.keys - 1

    def lengths(self, split: str) -> Sequence[int]:
        return [self.length if split != "test" or self.test_length is None else self.test_length]

    def draw(
        self, generator: np.random.Generator, length: int, examples: int
    ) -> tuple[Ints, Ints]:
        keys = _different(generator, self.keys, self.pairs, examples)
        values = _different(generator, self.classes, self.pairs, examples)
        # The largest of weights with Gumbel's noise are a draw without replacement.
        later = np.arange(1, length - 2 * self.pairs + 1)
        noise = generator.gumbel(size=(examples, len(later)))
        order = np.argsort(-((self.power - 1) * np.log(later) + noise), axis=1)
        places = 2 * self.pairs + order[:, : self.pairs]
        rows = np.arange(examples)[:, None]
        inputs = np.full((examples, length), BLANK)
        targets = np.full((examples, length), IGNORE)
        inputs[:, : 2 * self.pairs : 2] = keys + 1
        inputs[:, 1 : 2 * self.pairs : 2] = values + self.keys + 1
        inputs[rows, places] = keys + 1
        targets[rows, places] = values
        return small(inputs, self.inputs), small(targets, self.inputs)

    def guesses(self, lengths: Sequence[int]) -> Guesses:
        """Besides chance, what is reached by any of the values that were read."""
        k = self.classes
        return {
            "chance": {
                "loss": math.log(k),
                "accuracy": 1 / k,
                "sequence_accuracy": float(k) ** -self.pairs,
            },
            "any value read": {"loss": math.log(self.pairs), "accuracy": 1 / self.pairs},
        }


def _different(generator: np.random.Generator, among: int, count: int, examples: int) -> Ints:
    """``count`` different numbers below ``among`` for each example, in random order."""
    return np.stack([generator.choice(among, count, replace=False) for _ in range(examples)])
