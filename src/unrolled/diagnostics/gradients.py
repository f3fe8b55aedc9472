"""Gradient flow through time: the norm of d loss_t / d h_{t-k} against k.

Bengio, Simard & Frasconi 1994; Pascanu, Mikolov & Bengio 2013 (arXiv 1211.5063): where it shrinks
with every step, what lies far back is not learned from.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from unrolled.data.batches import Batch
from unrolled.diagnostics.sample import with_target
from unrolled.diagnostics.trajectory import CellTrace, follow
from unrolled.models.model import RecurrentModel

# The largest lag, where sequences are long enough.
LAGS = 128
# Steps whose loss is differentiated, in the last part of the sequences.
STEPS = 4
# The reach of the gradient is where this share of it is left.
LEFT = 0.01


@dataclass(frozen=True)
class GradientFlow:
    """The gradient's norm by lag.

    Attributes:
        norms: for each cell the mean over sequences and steps, ``[lags]`` from lag 0 on.
        whole: the same of all cells' states together.
    """

    norms: dict[str, npt.NDArray[np.float64]]
    whole: npt.NDArray[np.float64]

    @property
    def slope(self) -> float:
        """The decay rate: the slope of log norm by lag, by least squares over all lags at which a
        gradient is left; -0.1 is a loss of 10 % a step. NaN with fewer than two."""
        lags = np.flatnonzero((self.whole > 0) & np.isfinite(self.whole))
        if len(lags) < 2:
            return float("nan")
        return float(np.polyfit(lags, np.log(self.whole[lags]), 1)[0])

    @property
    def reach(self) -> int:
        """The largest lag up to which at least ``LEFT`` of the norm at lag 0 is left."""
        below = np.flatnonzero(~(self.whole >= LEFT * self.whole[0]))
        return int(below[0]) - 1 if len(below) else len(self.whole) - 1


def gradient_flow(model: RecurrentModel, batch: Batch, lags: int = LAGS) -> GradientFlow:
    """The mean norm of the gradient of a step's loss by the states before it.

    The state is a cell's whole state after a step, all its parts; what it changes within the same
    step in the layers above counts, too. Where the head reads each step, the losses of ``STEPS``
    steps are taken, otherwise each sequence's, from its last step back (a backward cell's from
    its own). A head that reads a mean, a maximum or attention over time reaches every state
    directly.

    Args:
        model: in double precision, as ``probe`` makes it.
        lags: the largest, where sequences are long enough.
    """
    hidden, traces = follow(model, batch.inputs, batch.lengths, batch.padded)
    time, sequences = batch.inputs.shape[:2]
    lengths = torch.full((sequences,), time) if batch.lengths is None else batch.lengths
    by_cell: list[list[Tensor]] = [[] for _ in traces]
    whole: list[Tensor] = []
    if model.readout == "every":
        there = with_target(batch.targets)
        steps = _steps(there)
        # A cell that reads backwards has its lags on the other side of the step.
        both = any(trace.backward for trace in traces)
        room = min(min(step, int(lengths.min()) - 1 - step) if both else step for step in steps)
        count = min(lags, max(room, 0))
        for step in steps:
            loss = model.head.loss(hidden[step : step + 1], batch.targets[step : step + 1])
            ends = [
                lengths - 1 - step if trace.backward else torch.full_like(lengths, step)
                for trace in traces
            ]
            _add(loss, traces, ends, count, there[step], by_cell, whole)
    else:
        median = int(lengths.median())
        count = min(lags, median - 1)
        loss = model.head.loss(hidden, batch.targets)
        ends = [lengths - 1 for _ in traces]
        _add(loss, traces, ends, count, lengths >= median, by_cell, whole)
    return GradientFlow(
        {t.name: _mean(norms) for t, norms in zip(traces, by_cell, strict=True)}, _mean(whole)
    )


def _add(
    loss: Tensor,
    traces: list[CellTrace],
    ends: list[Tensor],
    lags: int,
    rows: Tensor,
    by_cell: list[list[Tensor]],
    whole: list[Tensor],
) -> None:
    """Add the norms ``[lags, rows]`` of one loss, a sum over independent sequences.

    Args:
        ends: for each cell the step at which each sequence's loss is, in its own order.
    """
    states = [state for trace in traces for state in trace.joined]
    found = torch.autograd.grad(loss, states, retain_graph=True, allow_unused=True)
    squares = torch.stack(
        [
            state.new_zeros(len(rows)) if gradient is None else gradient.square().sum(-1)
            for state, gradient in zip(states, found, strict=True)
        ]
    )
    total: Tensor | None = None
    # Of each cell [time, sequences].
    by_step = squares.split([len(trace.joined) for trace in traces])
    for end, norms, mine in zip(ends, by_cell, by_step, strict=True):
        places = end - torch.arange(lags + 1)[:, None]
        kept = mine[:, rows].gather(0, places[:, rows].clamp(min=0))
        norms.append(kept.sqrt())
        total = kept if total is None else total + kept
    assert total is not None
    whole.append(total.sqrt())


def _steps(there: Tensor) -> list[int]:
    """``STEPS`` steps from the last quarter of those that have a target."""
    candidates = np.flatnonzero(there.any(1).numpy())
    if not len(candidates):
        return [len(there) - 1]
    picked = np.linspace(0.75 * (len(candidates) - 1), len(candidates) - 1, STEPS)
    return sorted({int(candidates[round(place)]) for place in picked})


def _mean(norms: list[Tensor]) -> npt.NDArray[np.float64]:
    together = torch.cat(norms, 1)
    if not together.shape[1]:
        return np.zeros(together.shape[0])
    mean: npt.NDArray[np.float64] = together.mean(1).detach().numpy()
    return mean
