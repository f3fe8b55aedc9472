"""The engine's evaluation as one graph, for ``torch.export``: the steps of time are a loop in the
graph, so that their number stays open, and no product is intercepted.

``unrolled.recurrence.stack`` does the same arithmetic in the same order, as plain Python; where
both multiply by the same kernels, their results are equal to the last digit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor
from torch._higher_order_ops.scan import scan

from unrolled.cells.base import Cell, State
from unrolled.cells.linear import LinearCell
from unrolled.recurrence.stack import Recurrence, States


@dataclass(frozen=True)
class Trace:
    """How the recurrence is written into the graph.

    Attributes:
        fused: cells that have a fused kernel run by it.
        real: complex recurrences are written as pairs of real numbers, for what has no complex
            ones, such as ONNX.
    """

    fused: bool = False
    real: bool = False

    def layers(
        self, recurrence: Recurrence, x: Tensor, states: States, lengths: Tensor | None = None
    ) -> tuple[Tensor, States]:
        """All layers over all steps, in evaluation.

        Args:
            x: ``[time, batch, input_size]``.
            states: of every cell, as ``Recurrence.forward`` takes them.
            lengths: ``[batch]``, how many steps each sequence has; None where all have all.

        Returns:
            The last layer's outputs ``[time, batch, output_size]``, zeros where a sequence is
            over, and every cell's state after the last step of all. With ``lengths`` that is after
            the padding, and no sequence's own.
        """
        zoneout = recurrence.regularization.zoneout
        final: list[State] = []
        for layer in range(recurrence.layers):
            outputs = []
            for direction in range(recurrence.directions):
                place = layer * recurrence.directions + direction
                cell = cast(Cell, recurrence.cells[place])
                read = _reversed(x, lengths) if direction else x
                y, state = self._cell(cell, read, states[place], zoneout)
                outputs.append(_reversed(y, lengths) if direction else y)
                final.append(state)
            y = torch.cat(outputs, -1) if len(outputs) > 1 else outputs[0]
            x = x + y if recurrence.residual and layer > 0 else y
        if lengths is not None:
            there = torch.arange(x.shape[0], device=x.device)[:, None] < lengths
            x = torch.where(there[..., None], x, 0.0)
        return x, tuple(final)

    def _cell(self, cell: Cell, x: Tensor, state: State, zoneout: float) -> tuple[Tensor, State]:
        """One cell over all steps: outputs ``[time, batch, output_size]``, and its last state."""
        before: State = ()
        if cell.window > 1:
            *parts, inputs = state
            state = tuple(parts)
            windows = [x]
            for first in inputs.split(cell.input_size, -1):
                windows.append(torch.cat([first[None], windows[-1]])[: x.shape[0]])
            x = torch.cat(windows, -1)
            # A copy: what a graph gives may share no memory.
            before = (x[-1, :, : inputs.shape[-1]].clone(),)
        if self.fused and cell.has_native and not zoneout:
            y, state = cell.native(x, state)
            return y, (*state, *before)
        shape = x.shape[:2]
        z = cell.project(x.flatten(0, 1))
        trace = self._linear if isinstance(cell, LinearCell) else _steps
        states, state = trace(cell, z, shape, state, zoneout)  # type: ignore[arg-type]
        return cell.output(z, states).unflatten(0, shape), (*state, *before)

    def _linear(
        self, cell: LinearCell, z: Tensor, shape: torch.Size, state: State, zoneout: float
    ) -> tuple[State, State]:
        """As ``_steps``, of a linear recurrence."""
        a, b = cell.coefficients(z)
        if zoneout:
            keep = z.new_full((1, 1), zoneout)
            a, b = keep + (1 - keep) * a, (1 - keep) * b
        s = cell.pack_state(state)

        def by_step(part: Tensor) -> Tensor:
            rows: Tensor = part.expand(*b.shape).unflatten(0, shape)
            return rows.contiguous()

        if b.is_complex() and self.real:
            parts = [by_step(part) for part in (a.real, a.imag, b.real, b.imag)]
            last, history = _scan_pairs(parts, s)
        else:
            last, history = scan(_multiply_and_add, s.to(b.dtype), (by_step(a), by_step(b)))
        final = tuple(part.clone() for part in cell.unpack_state(last))
        return cell.unpack_state(history.flatten(0, 1)), final


def _steps(
    cell: Cell, z: Tensor, shape: torch.Size, state: State, zoneout: float
) -> tuple[State, State]:
    """One step after the other.

    Args:
        z: ``[rows, projected size]``.
        shape: time and batch.

    Returns:
        The states of all steps, ``[rows, size]`` for each part that the output reads, and the
        last state.
    """
    read = 1 if type(cell).output is Cell.output else len(state)

    def step(old: Sequence[Tensor], z_t: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        new = cell.step(z_t, tuple(old))
        if zoneout:
            keep = tuple(part.new_full((1, 1), zoneout) for part in new)
            new = cell.apply_zoneout(tuple(old), new, keep)
        # Copies: what is carried on and what is kept may share no memory.
        return [part.clone() for part in new], [part.clone() for part in new[:read]]

    last, history = scan(step, [*state], z.unflatten(0, shape))
    return tuple(part.flatten(0, 1) for part in history), tuple(last)


def _multiply_and_add(s: Tensor, now: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    a, b = now
    s = torch.addcmul(b, a, s)
    return s, s.clone()


def _scan_pairs(parts: Sequence[Tensor], s: Tensor) -> tuple[Tensor, Tensor]:
    """A complex recurrence in real numbers: ``parts`` are those of a and b."""

    def step(s: Sequence[Tensor], now: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        (re, im), (a_re, a_im, b_re, b_im) = s, now
        new = [b_re + a_re * re - a_im * im, b_im + a_re * im + a_im * re]
        return new, [part.clone() for part in new]

    (re, im), (res, ims) = scan(step, [s.real.contiguous(), s.imag.contiguous()], [*parts])
    return torch.complex(re, im), torch.complex(res, ims)


def _reversed(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Each sequence of ``[time, batch, features]`` backwards within its own length."""
    if lengths is None:
        return x.flip(0)
    time, batch = x.shape[:2]
    # Behind a sequence's end its first step stands again: nothing reads it.
    times = (lengths - 1 - torch.arange(time, device=x.device)[:, None]).clamp(min=0)
    return x[times, torch.arange(batch, device=x.device)]
