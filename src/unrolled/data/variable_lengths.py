"""Truncated backpropagation over lengths that are drawn, in an order that can be resumed."""

from collections.abc import Iterator
from itertools import accumulate, pairwise

import numpy as np
from torch.utils.data import Sampler

# Merity et al. 2018, section 5, and their program: how often the whole length is the mean, by how
# many steps a length deviates from its mean, and the shortest.
WHOLE = 0.95
DEVIATION = 5.0
SHORTEST = 5


class VariableLengths(Sampler["slice[int, int, None]"]):
    """Cuts of time whose lengths vary, so that no two passes end their chunks at the same tokens
    (Merity et al. 2018, section 5).

    A length is drawn from N(b, 5), with b the sequence length with probability 0.95 and half of it
    otherwise. The paper draws anew in each pass. Here the seed draws the lengths of one pass, and
    each pass has them in an order of its own, which follows from the seed and its number alone: an
    epoch always has the same number of steps, every step of time is in exactly one cut, and a run
    can go on from any batch of any pass exactly.

    Args:
        steps: to cut.
        sequence_length: around which lengths are drawn.
        seed: of lengths and orders.
        epoch, batch: where the first pass begins.
    """

    def __init__(
        self, steps: int, sequence_length: int, *, seed: int, epoch: int = 0, batch: int = 0
    ) -> None:
        self.seed = seed
        self.epoch, self.batch = epoch, batch
        self.lengths = _draw(steps, sequence_length, seed)

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator["slice[int, int, None]"]:
        first, epoch = self.batch, self.epoch
        self.batch, self.epoch = 0, epoch + 1
        yield from self.cuts(epoch)[first:]

    def cuts(self, epoch: int) -> list["slice[int, int, None]"]:
        """All cuts of a pass, from its first step of time to its last."""
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.lengths))
        ends = accumulate((self.lengths[place] for place in order), initial=0)
        return [slice(first, last, None) for first, last in pairwise(ends)]


def _draw(steps: int, sequence_length: int, seed: int) -> list[int]:
    """Lengths that are ``steps`` together; the last is what is left."""
    generator = np.random.default_rng(seed)
    lengths: list[int] = []
    while steps:
        mean = sequence_length if generator.random() < WHOLE else sequence_length / 2
        drawn = max(min(SHORTEST, sequence_length), int(generator.normal(mean, DEVIATION)))
        lengths.append(min(drawn, steps))
        steps -= lengths[-1]
    return lengths
