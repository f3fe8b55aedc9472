"""What a cell's gates do on data: how far they are open, how often saturated, how long a unit
remembers.

A cell names its gates (``Cell.gating``); their values are those of the sigmoids that it calls,
seen while its own equations run, so that no second copy of the equations can differ from them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from unrolled.cells.base import Cell, Gate
from unrolled.cells.linear import LinearCell
from unrolled.diagnostics.trajectory import CellTrace
from unrolled.errors import CellError

CLOSED, OPEN = 0.1, 0.9
# A unit that varies less than this share of what its layer's units do is dead.
DEAD = 1e-3
# Time constants are cut off here: a gate that never closes in the sample says no more.
LONGEST = 1e6
_FUNCTIONS: dict[Any, str] = {
    torch.sigmoid: "sigmoid",
    torch.sigmoid_: "sigmoid",
    torch.special.expit: "sigmoid",
    Tensor.sigmoid: "sigmoid",
    torch.nn.functional.sigmoid: "sigmoid",
    torch.exp: "exp",
    Tensor.exp: "exp",
}

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class GateUse:
    """One gate over all steps of all sequences, by unit.

    Attributes:
        opening: mean value ``[units]``.
        closed, opened: the share of steps under ``CLOSED`` and over ``OPEN``, ``[units]``.
    """

    opening: Array
    closed: Array
    opened: Array

    @property
    def stuck(self) -> float:
        """The share of units that are closed, or open, at every step."""
        return float(np.mean((self.closed == 1) | (self.opened == 1)))


@dataclass(frozen=True)
class CellUse:
    """What is found of one cell.

    Attributes:
        gates: each gate by its name.
        named: whether the cell names its gates; otherwise they are numbered.
        time_constants: in steps, of each unit that has one; None where the cell has neither a gate
            that keeps its memory nor a linear recurrence.
        dead: the share of output units that do not vary.
    """

    gates: Mapping[str, GateUse]
    named: bool
    time_constants: Array | None
    dead: float


@torch.no_grad()
def cell_use(trace: CellTrace, rows: Tensor | None = None) -> CellUse:
    """Gates, time constants and dead units of a cell.

    Args:
        rows: which steps are not padding, ``[time, batch]``; None: all.

    Raises:
        CellError: the cell names more gates than it computes.
    """
    kept = slice(None) if rows is None else rows.flatten()
    x, z = (part.flatten(0, 1)[kept] for part in (trace.x, trace.z))
    before = tuple(
        torch.stack(part).flatten(0, 1)[kept] for part in zip(*trace.states[:-1], strict=True)
    )
    values = gate_values(trace.cell, x, before)
    outputs = trace.outputs.flatten(0, 1)[kept]
    spread = outputs.std(0)
    limit = DEAD * spread.square().mean().sqrt()
    return CellUse(
        {
            gate.name: GateUse(_array(v.mean(0)), _share(v < CLOSED), _share(v > OPEN))
            for gate, v in values
        },
        trace.cell.gating is not None,
        _time_constants(trace, z, values),
        float((spread <= limit).double().mean()),
    )


def gate_values(cell: Cell, x: Tensor, state: tuple[Tensor, ...]) -> list[tuple[Gate, Tensor]]:
    """Each gate of a cell and its values ``[rows, units]`` at independent steps.

    A cell that does not name its gates has them numbered.

    Args:
        x: what the cell projects, ``[rows, window * input_size]``.
        state: before the step, ``[rows, size]`` for each part.

    Raises:
        CellError: the cell names more gates than it computes.
    """
    functions: set[str] = {gate.by for gate in cell.gating or (Gate(""),)}
    with _Recorder(functions, len(x)) as recorder:
        z = cell.project(x)
        cell.output(z, cell.step(z, state))
    seen = recorder.seen
    if cell.gating is None:
        return [(Gate(f"sigmoid {i}"), value) for i, value in enumerate(seen, start=1)]
    if len(seen) < len(cell.gating):
        # Gates that are computed together lie side by side.
        size = cell.hidden_size
        seen = [part for v in seen for part in (v.split(size, -1) if v.shape[-1] > size else [v])]
    if len(seen) < len(cell.gating):
        raise CellError(
            f"{type(cell).__name__}.gating names {len(cell.gating)} gates, and a step computes "
            f"{len(seen)} by {' and '.join(sorted(functions))}; name those that it computes, in "
            "their order"
        )
    return [*zip(cell.gating, seen, strict=False)]


class _Recorder(TorchFunctionMode):
    """Keeps what functions return that gates are computed by.

    Args:
        functions: which of them.
        rows: of a gate's values; a parameter's own has fewer.
    """

    def __init__(self, functions: set[str], rows: int) -> None:
        super().__init__()
        self.functions = functions
        self.rows = rows
        self.seen: list[Tensor] = []

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        value = func(*args, **(kwargs or {}))
        known = _FUNCTIONS.get(func) in self.functions
        if known and isinstance(value, Tensor) and value.dim() and len(value) == self.rows:
            # In-place functions may follow.
            self.seen.append(value.clone())
        return value


def _time_constants(
    trace: CellTrace, z: Tensor, values: list[tuple[Gate, Tensor]]
) -> Array | None:
    """In steps: -1 / ln |a| of a linear recurrence, whose decay over time is the product of its
    coefficients; 1 / (1 - f) of the share f that gates keep on average."""
    cell = trace.cell
    if isinstance(cell, LinearCell):
        a, _ = cell.coefficients(z)
        decay = -a.abs().log().expand(len(z), -1).mean(0)
        return np.minimum(1 / np.maximum(_array(decay), 1 / LONGEST), LONGEST)
    factors = [v if g.memory == "keeps" else 1 - v for g, v in values if g.memory]
    if not factors:
        return None
    kept = torch.stack(factors).prod(0).mean(0)
    return np.minimum(1 / np.maximum(1 - _array(kept), 1 / LONGEST), LONGEST)


def _share(which: Tensor) -> Array:
    return _array(which.double().mean(0))


def _array(values: Tensor) -> Array:
    array: Array = values.detach().double().cpu().numpy()
    return array
