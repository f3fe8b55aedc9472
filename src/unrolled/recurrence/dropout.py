"""Dropout along time, dropout inside the recurrence, dropout of weights, and zoneout.

The engine does all of it, for every cell alike; a cell computes its equations and no more.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.cells.base import Cell, State, recurrent_parameters


class TimeDropout(nn.Module):
    """Dropout on ``[time, batch, features]``.

    Locked, one mask serves all time steps of a chunk (variational dropout, Gal & Ghahramani 2016,
    as in Merity et al. 2018); otherwise each step has its own (Zaremba et al. 2014).
    """

    def __init__(self, rate: float, *, locked: bool = False) -> None:
        super().__init__()
        self.rate = rate
        self.locked = locked

    @property
    def active(self) -> bool:
        """Whether it drops anything now."""
        return self.training and self.rate > 0

    def forward(self, x: Tensor) -> Tensor:
        if not self.active:
            return x
        if not self.locked:
            return F.dropout(x, self.rate)
        return x * F.dropout(x.new_ones(1, *x.shape[1:]), self.rate)

    def extra_repr(self) -> str:
        return f"{self.rate}, locked={self.locked}"


@dataclass(frozen=True)
class RecurrentDropout:
    """The masks of recurrent dropout in one pass: what a recurrent weight reads of the state is
    dropped, with one mask for all steps (Gal & Ghahramani 2016, eq. 7); the path on which a gate
    keeps the state is not.

    A linear recurrence has no such weight; there, what a step writes is dropped, again with one
    mask (Semeniuta, Severyn & Barth 2016, eq. 9).

    Attributes:
        rate: the probability of a zero.
        batch: how many sequences there are.
        seed: of the masks, so that a recomputed span draws the same.
    """

    rate: float
    batch: int
    seed: int
    _masks: dict[str, Tensor] = field(default_factory=dict)

    def mask(self, name: str, like: Tensor) -> Tensor:
        """The mask of what ``name`` reads, of the shape of ``like`` with all rows of the batch."""
        if name not in self._masks:
            shape = (*like.shape[:-2], self.batch, like.shape[-1])
            generator = torch.Generator(like.device)
            generator.manual_seed(self.seed ^ zlib.crc32(name.encode()))
            kept = torch.empty(shape, device=like.device, dtype=like.dtype)
            kept.bernoulli_(1 - self.rate, generator=generator)
            self._masks[name] = kept.div_(1 - self.rate)
        return self._masks[name]


@dataclass(frozen=True)
class DrawnRegularization:
    """Recurrent regularization as it applies to one cell in one pass.

    Attributes:
        zoneout: the share of the state that a step leaves as it was.
        training: whether zoneout draws masks; otherwise every unit keeps that share.
        recurrent_dropout: its masks, or None.
        weights: dropped weights, by name, to use in place of the cell's own.
    """

    zoneout: float = 0.0
    training: bool = False
    recurrent_dropout: RecurrentDropout | None = None
    weights: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class RecurrentRegularization:
    """The rates of dropout inside the recurrence and of zoneout.

    Attributes:
        recurrent_dropout: on what recurrent weights read of the state, one mask for all steps
            (Gal & Ghahramani 2016); on what a linear recurrence writes (Semeniuta et al. 2016).
        weight_dropout: on the recurrent weights, drawn anew for each call (Merity et al. 2018).
        zoneout: the share of the state that a step leaves as it was (Krueger et al. 2017).
    """

    recurrent_dropout: float = 0.0
    weight_dropout: float = 0.0
    zoneout: float = 0.0

    def draw(self, cell: Cell, batch: int, *, training: bool) -> DrawnRegularization:
        """Draw the masks of one pass of ``cell`` over a batch of sequences."""
        if not training:
            return DrawnRegularization(zoneout=self.zoneout)
        recurrent_dropout = None
        if self.recurrent_dropout:
            seed = int(torch.randint(2**62, ()))
            recurrent_dropout = RecurrentDropout(self.recurrent_dropout, batch, seed)
        weights = {}
        if self.weight_dropout:
            weights = {
                name: F.dropout(parameter, self.weight_dropout)
                for name, parameter in recurrent_parameters(cell).items()
            }
        return DrawnRegularization(self.zoneout, True, recurrent_dropout, weights)


def zoneout_masks(rate: float, state: State, rows: int, *, training: bool) -> State:
    """What zoneout keeps of each part of the state (Krueger et al. 2017).

    Args:
        rows: the number of steps of all sequences together.

    Returns:
        For each part a mask ``[rows, size]`` of zeros and ones, drawn anew for each step; in
        evaluation the rate itself.
    """
    if not training:
        return tuple(part.new_full((rows, 1), rate) for part in state)
    return tuple(part.new_empty(rows, part.shape[-1]).bernoulli_(rate) for part in state)
