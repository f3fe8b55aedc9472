"""A model followed step by step: what every cell reads and every state that it goes through.

The plain loop, written once more and for reading alone: every state is a node of autograd's graph,
whatever backend trains the cell (cuDNN's kernels have no backward pass in evaluation), in double
precision, so that gradients over hundreds of steps do not vanish in rounding.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor

from unrolled.cells.base import Cell, State
from unrolled.models import pooling
from unrolled.models.model import RecurrentModel


@dataclass(frozen=True)
class CellTrace:
    """One cell over a batch, in the order in which it reads.

    Attributes:
        name: ``layer 1``, or ``layer 1 backward``.
        x: what it projects, ``[time, batch, window * input_size]``.
        z: its projection, ``[time, batch, projected size]``.
        states: before the first step and after each, ``[batch, size]`` for each part.
        joined: after each step, the parts of the state side by side, through which alone all that
            comes later sees it: the gradient by them is that by the state as a whole, where one by
            a part alone would count what other parts of the same state were made of.
        outputs: what the layer above reads, ``[time, batch, output_size]``.
        backward: whether it reads backwards in time.
        zoneout: the share of the state that a step leaves as it was.
    """

    name: str
    cell: Cell
    x: Tensor
    z: Tensor
    states: Sequence[State]
    joined: Sequence[Tensor]
    outputs: Tensor
    backward: bool
    zoneout: float

    def step(self, z: Tensor, state: State) -> State:
        """One step as an evaluation takes it."""
        return _step(self.cell, z, state, self.zoneout)


def probe(model: RecurrentModel) -> RecurrentModel:
    """A copy of a model in evaluation, in double precision on the CPU, whose weights need no
    gradient."""
    return copy.deepcopy(model).cpu().double().eval().requires_grad_(False)


def follow(
    model: RecurrentModel,
    inputs: Tensor,
    lengths: Tensor | None = None,
    padded: Literal["right", "left"] = "right",
) -> tuple[Tensor, list[CellTrace]]:
    """What the head reads, as ``RecurrentModel.forward`` gives it in evaluation, and each cell's
    trace; both are functions of the states in autograd's graph.

    Args:
        inputs: ids ``[time, batch]`` or features ``[time, batch, features]``.
        lengths: ``[batch]``, steps of each sequence; None where all have all.
        padded: the side on which shorter inputs are padded.
    """
    dtype = next(model.parameters()).dtype
    if lengths is not None and padded == "left":
        inputs = pooling.aligned(inputs, lengths)
    if inputs.is_floating_point():
        inputs = inputs.to(dtype)
    y, traces = follow_encoded(model, model.encoder(inputs).to(dtype), lengths)
    return (y if model.readout == "every" else model.pooled(y, lengths)), traces


def follow_encoded(
    model: RecurrentModel, x: Tensor, lengths: Tensor | None = None
) -> tuple[Tensor, list[CellTrace]]:
    """The recurrence's output ``[time, batch, output_size]`` and each cell's trace.

    Args:
        x: what the encoder gives, ``[time, batch, size]``.
    """
    recurrence = model.recurrence
    there = None if lengths is None else pooling.steps_there(lengths, len(x))[..., None]
    traces: list[CellTrace] = []
    for layer in range(recurrence.layers):
        outputs = []
        for direction in range(recurrence.directions):
            cell = cast(Cell, recurrence.cells[layer * recurrence.directions + direction])
            backward = direction == 1
            name = f"layer {layer + 1}{' backward' if backward else ''}"
            read = reversed_in_time(x, lengths) if backward else x
            trace = _trace(name, cell, read, recurrence.regularization.zoneout, backward)
            traces.append(trace)
            y = trace.outputs
            outputs.append(reversed_in_time(y, lengths) if backward else y)
        y = torch.cat(outputs, -1)
        x = x + y if recurrence.residual and layer > 0 else y
    return (x if there is None else x.masked_fill(~there, 0)), traces


def reversed_in_time(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Each sequence ``[time, batch, ...]`` backwards, its padding behind its end as before."""
    if lengths is None:
        return x.flip(0)
    time = torch.arange(len(x), device=x.device)[:, None]
    places = torch.where(time < lengths, lengths - 1 - time, time)
    return x[places, torch.arange(x.shape[1], device=x.device)]


def _trace(name: str, cell: Cell, x: Tensor, zoneout: float, backward: bool) -> CellTrace:
    windows = [x]
    for _ in range(cell.window - 1):
        # Inputs before the first are zero.
        windows.append(torch.cat([torch.zeros_like(x[:1]), windows[-1][:-1]]))
    x = torch.cat(windows, -1)
    z = cell.project(x)
    state = tuple(part.requires_grad_() for part in cell.initial_state(x.shape[1], x))
    widths = [part.shape[-1] for part in state]
    states, joined = [state], []
    for z_t in z:
        joined.append(torch.cat(_step(cell, z_t, states[-1], zoneout), -1))
        states.append(joined[-1].split(widths, -1))
    after = tuple(torch.stack(part) for part in zip(*states[1:], strict=True))
    return CellTrace(name, cell, x, z, states, joined, cell.output(z, after), backward, zoneout)


def _step(cell: Cell, z: Tensor, state: State, zoneout: float) -> State:
    new = cell.step(z, state)
    if not zoneout:
        return new
    return cell.apply_zoneout(state, new, tuple(p.new_full((1, 1), zoneout) for p in state))
