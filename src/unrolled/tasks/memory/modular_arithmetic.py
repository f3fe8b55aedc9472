"""Modular arithmetic: the value of a sum of products of digits, modulo a small number."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unrolled.tasks.memory.symbols import (
    Guesses,
    Ints,
    LengthsTask,
    at_the_end,
    entropy,
    small,
)
from unrolled.tasks.task import require_at_least

PLUS, MINUS, TIMES, EQUALS = range(4)


@dataclass(kw_only=True, eq=False)
class ModularArithmetic(LengthsTask):
    """Delétang et al. 2023 (modular arithmetic without brackets), a regular language.

    Digits and the operators + - * take turns; products come before sums. The answer is asked for
    at an equals sign. Symbols are the digits, then the operators, then the equals sign; a length
    is that of the expression, and odd.

    Attributes:
        modulus: digits are those below it.
    """

    modulus: int

    def __post_init__(self) -> None:
        require_at_least(2, modulus=self.modulus)
        super().__post_init__()

    @property
    def inputs(self) -> int:
        return self.modulus + 4

    @property
    def classes(self) -> int:
        return self.modulus

    def steps(self, length: int) -> int:
        return length + 1

    def fits(self, length: int) -> bool:
        return length % 2 == 1

    def what_lengths(self) -> str:
        return "lengths are odd, and go"

    def draw(
        self, generator: np.random.Generator, length: int, examples: int
    ) -> tuple[Ints, Ints]:
        digits = generator.integers(0, self.modulus, (examples, length // 2 + 1))
        operators = generator.integers(PLUS, EQUALS, (examples, length // 2))
        inputs = np.full((examples, length + 1), self.modulus + EQUALS)
        inputs[:, :length:2] = digits
        inputs[:, 1:length:2] = operators + self.modulus
        values = evaluate(digits, operators, self.modulus)
        return small(inputs, self.inputs), small(at_the_end(values, length + 1), self.inputs)

    def guesses(self, lengths: Sequence[int]) -> Guesses:
        # Products make 0 more frequent than the others: who knows nothing else says so.
        spread = np.mean([self.distribution(length) for length in lengths], axis=0)
        most = float(spread.max())
        return {"chance": {"loss": entropy(spread), "accuracy": most, "sequence_accuracy": most}}

    def distribution(self, length: int) -> npt.NDArray[np.float64]:
        """How likely each value of an expression of a length is, ``[modulus]``."""
        m = self.modulus
        a, b = np.indices((m, m))
        # Of the sum before the last product, and of that product, with its sign.
        state = np.zeros((m, m))
        state[0] = 1 / m
        for _ in range(length // 2):
            value = np.bincount(((a + b) % m).ravel(), state.ravel(), minlength=m)
            # A sign before a uniform digit leaves it uniform.
            after = np.repeat(value[:, None], m, axis=1) / m * (2 / 3)
            for digit in range(m):
                np.add.at(after, (a, b * digit % m), state / (3 * m))
            state = after
        result: npt.NDArray[np.float64] = np.zeros(m)
        np.add.at(result, (a + b) % m, state)
        return result


def evaluate(digits: Ints, operators: Ints, modulus: int) -> Ints:
    """The values of expressions, ``[expressions]``.

    Args:
        digits: ``[expressions, digits]``.
        operators: those between them, ``[expressions, digits - 1]``.
    """
    total = np.zeros_like(digits[:, 0])
    product = digits[:, 0]
    for digit, operator in zip(digits[:, 1:].T, operators.T, strict=True):
        ends = operator != TIMES
        total = np.where(ends, total + product, total) % modulus
        signed = np.where(operator == MINUS, -digit, digit)
        product = np.where(ends, signed, product * digit) % modulus
    return (total + product) % modulus
