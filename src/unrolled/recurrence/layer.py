"""One cell over a span of time: the inputs it reads, and what disturbs it."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.cells.base import Cell, State
from unrolled.recurrence.backends import Noise, run
from unrolled.recurrence.dropout import ReadDropout, drawn_seed
from unrolled.recurrence.steps import Steps


@dataclass(frozen=True)
class Disturbance:
    """Dropout inside the recurrence, and zoneout; rates.

    Attributes:
        recurrent: on what recurrent weights read of the state, one mask for all steps (Gal &
            Ghahramani 2016); on what a linear recurrence writes (Semeniuta et al. 2016).
        weight: on the recurrent weights themselves, drawn anew for each call (Merity et al. 2018).
        zoneout: the share of the state that a step leaves as it was (Krueger et al. 2017).
    """

    recurrent: float = 0.0
    weight: float = 0.0
    zoneout: float = 0.0

    def noise(self, cell: Cell, batch: int, *, training: bool) -> Noise:
        """What one run of ``cell`` over a batch of sequences is disturbed by."""
        if not training:
            return Noise(zoneout=self.zoneout)
        reading = ReadDropout(self.recurrent, batch, drawn_seed()) if self.recurrent else None
        weights = {}
        if self.weight:
            weights = {
                name: F.dropout(parameter, self.weight)
                for name, parameter in recurrent_parameters(cell).items()
            }
        return Noise(self.zoneout, True, reading, weights)


def recurrent_parameters(cell: Cell) -> dict[str, nn.Parameter]:
    """The parameters through which a cell's step reads its state."""
    return {
        name: parameter
        for name, parameter in cell.named_parameters()
        if name in cell.recurrent_weights
    }


def advance(
    cell: Cell, x: Tensor, steps: Steps, state: State, backend: str, noise: Noise
) -> tuple[Tensor, State]:
    """One cell over a span of time, in which some sequences may already be over.

    Args:
        x: ``[rows, input_size]`` in the layout of ``steps``.
        state: of all sequences, ``[batch, size]`` for each part; with a window the inputs before
            the span as a last part.

    Returns:
        Outputs ``[rows, output_size]`` and the new state of all sequences.
    """
    now = tuple(part[: steps.batch] for part in state)
    past: State = ()
    if cell.window > 1:
        *parts, before = now
        now = tuple(parts)
        windows = [x]
        for first in before.to(x.dtype).split(cell.input_size, -1):
            windows.append(steps.previous(windows[-1], first))
        x = torch.cat(windows, -1)
        past = (steps.final(x)[:, : before.shape[-1]],)
    y, now = run(cell, x, steps, now, backend, noise)
    now = (*now, *past)
    if steps.batch == len(state[0]):
        return y, now
    pairs = zip(now, state, strict=True)
    return y, tuple(torch.cat([new, old[steps.batch :]]) for new, old in pairs)
