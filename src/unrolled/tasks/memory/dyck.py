"""Dyck-k: strings of nested brackets, and at each step the set of brackets that may follow."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from unrolled.tasks.memory.answers import Answers
from unrolled.tasks.memory.symbols import Guesses, Ints, LengthsTask, small
from unrolled.tasks.task import require_at_least

if TYPE_CHECKING:
    from torch import Tensor

    from unrolled.models.heads import Head

Floats = npt.NDArray[np.float64]


@dataclass(kw_only=True, eq=False)
class Dyck(LengthsTask):
    """Suzgun et al. 2019, with the bounded depth of Hewitt et al. 2020.

    Strings of ``brackets`` kinds of brackets, nested at most ``max_depth`` deep; all strings of a
    length are equally likely. After each symbol the set of those that may follow in some string of
    the language, of any length, is asked for: every opening bracket unless the depth is
    ``max_depth``, and the closing bracket of the innermost open one. An answer is right if its
    whole set is, and a string if all its answers are. The loss is a mean over the brackets of an
    answer.

    Symbols, and places in a set, are the opening brackets, then the closing ones. Lengths are
    even.

    Attributes:
        brackets: kinds of brackets, the k of Dyck-k.
        max_depth: the most brackets that are open at a time.
    """

    primary = "sequence_accuracy"

    brackets: int
    max_depth: int

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(1, brackets=self.brackets, max_depth=self.max_depth)

    @property
    def inputs(self) -> int:
        return 2 * self.brackets

    @property
    def classes(self) -> int:
        return 2 * self.brackets

    def fits(self, length: int) -> bool:
        return length % 2 == 0

    def what_lengths(self) -> str:
        return "lengths are even, and go"

    def head(self, hidden_size: int) -> "Head":
        from unrolled.models.heads import MultiLabelHead

        return MultiLabelHead(hidden_size, self.classes)

    def evaluator(self, data: object, split: str) -> "Sets":
        lengths = self.lengths(split) if split == "test" else ()
        return Sets(None, {length: length for length in lengths}, max(self.lengths("train")))

    def draw(
        self, generator: np.random.Generator, length: int, examples: int
    ) -> tuple[Ints, Ints]:
        k, depth_at = self.brackets, np.zeros(examples, dtype=np.int64)
        opening = opening_probabilities(length, self.max_depth)
        kinds = generator.integers(0, k, (examples, length))
        chances = generator.random((examples, length))
        stack = np.zeros((examples, self.max_depth), dtype=np.int64)
        inputs = np.zeros((examples, length), dtype=np.int64)
        targets = np.zeros((examples, length, 2 * k), dtype=np.int64)
        rows = np.arange(examples)
        for step in range(length):
            opens = chances[:, step] < opening[step, depth_at]
            shut = rows[~opens]
            inputs[shut, step] = k + stack[shut, depth_at[shut] - 1]
            inputs[opens, step] = kinds[opens, step]
            stack[opens, depth_at[opens]] = kinds[opens, step]
            depth_at += np.where(opens, 1, -1)
            targets[:, step, :k] = (depth_at < self.max_depth)[:, None]
            inside = rows[depth_at > 0]
            targets[inside, step, k + stack[inside, depth_at[inside] - 1]] = 1
        return small(inputs, self.inputs), small(targets, 1)

    def guesses(self, lengths: Sequence[int]) -> Guesses:
        """What the latest symbol alone tells: after an opening bracket which one may close, and
        after a closing one that any may open; the rest is guessed."""
        k = self.brackets
        opens, full, closes, out = np.sum([self.depths(length) for length in lengths], axis=0)
        # After an opening bracket, whether the depth is the largest; after a closing one, whether
        # it is 0, and else which bracket is the innermost, all being equally likely.
        full, out = full / opens, out / closes
        # Of 2 k brackets, k are open to doubt; half of a string's brackets open.
        loss = (_binary(full) + _binary((1 - out) / k)) / 4
        said_full, said_out = full > 0.5, out >= (1 - out) / k
        right = max(full, 1 - full) + max(out, (1 - out) / k)
        # With these answers a whole string can be right only if every pair closes at once.
        flat = said_out and said_full == (self.max_depth == 1)
        strings = [1 / strings_of(length, self.max_depth) if flat else 0.0 for length in lengths]
        return {
            "chance": {
                "loss": float(loss),
                "accuracy": float(right / 2),
                "sequence_accuracy": float(np.mean(strings)),
            }
        }

    def depths(self, length: int) -> Floats:
        """In a string of a length, the expected numbers of opening brackets, of those after which
        the depth is the largest, of closing ones, and of those after which it is 0."""
        opening = opening_probabilities(length, self.max_depth)
        at = np.zeros(self.max_depth + 1)
        at[0] = 1.0
        counts = np.zeros(4)
        for step in range(length):
            up, down = at * opening[step], at * (1 - opening[step])
            counts += [up.sum(), up[self.max_depth - 1], down.sum(), down[1]]
            at = np.concatenate([[0.0], up[:-1]]) + np.concatenate([down[1:], [0.0]])
        return counts


class Sets(Answers):
    """Answers that are sets: right where all of a set is."""

    def score(
        self, head: "Head", hidden: "Tensor", targets: "Tensor"
    ) -> "tuple[Tensor, Tensor, Tensor]":
        import torch
        from torch.nn import functional as F

        scores = head.scores(hidden).float()
        losses = F.binary_cross_entropy_with_logits(scores, targets.float(), reduction="none")
        right = ((scores > 0) == (targets > 0)).all(-1)
        return losses.mean(-1), right, torch.ones_like(right)


@lru_cache(maxsize=1024)
def opening_probabilities(length: int, max_depth: int) -> Floats:
    """At each step and depth of a string, how likely the next bracket opens, if all strings are
    equally likely: ``[length, max_depth + 1]``."""
    ways = np.zeros(max_depth + 3)
    ways[1] = 1.0
    result = np.zeros((length, max_depth + 1))
    for step in reversed(range(length)):
        # One place more on each side stands for depths that there are not.
        up, down = ways[2:].copy(), ways[:-2].copy()
        up[-1] = 0.0
        both = up + down
        result[step] = np.divide(up, both, out=np.zeros_like(up), where=both > 0)
        # What matters is their ratio; their numbers would overflow.
        ways[1:-1] = both / both.max()
    return result


@lru_cache(maxsize=1024)
def strings_of(length: int, max_depth: int) -> int:
    """How many strings of one kind of brackets there are of a length."""
    ways = [1] + [0] * max_depth
    for _ in range(length):
        ways = [
            (ways[depth - 1] if depth else 0) + (ways[depth + 1] if depth < max_depth else 0)
            for depth in range(max_depth + 1)
        ]
    return ways[0]


def _binary(p: float) -> float:
    """The entropy of what is true with probability ``p``, in nats."""
    return float(-sum(q * np.log(q) for q in (p, 1 - p) if q > 0))
