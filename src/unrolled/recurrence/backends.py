"""The ways to run a cell over time; each is exactly the cell."""

import torch
from torch import Tensor

from unrolled.cells.base import Cell, State
from unrolled.errors import ConfigError

BACKENDS = ("auto", "native", "eager")


def choose(cell: Cell, backend: str) -> str:
    """The backend that ``auto`` stands for, or ``backend`` itself.

    Raises:
        ConfigError: there is no such backend, or it cannot run this cell.
    """
    if backend not in BACKENDS:
        raise ConfigError(f"cell.backend={backend}: choose one of {', '.join(BACKENDS)}")
    if backend == "native" and not cell.has_native:
        raise ConfigError(
            f"cell.backend=native: {type(cell).__name__} has no fused kernel; take eager or auto"
        )
    if backend == "auto":
        return "native" if cell.has_native else "eager"
    return backend


def run(cell: Cell, x: Tensor, state: State, backend: str) -> tuple[Tensor, State]:
    """All steps of time.

    Args:
        x: ``[time, batch, input_size]``.
        state: a tensor ``[batch, hidden_size]`` for each of the cell's ``state_names``.
        backend: ``native`` or ``eager``, as ``choose`` gives it.

    Returns:
        Outputs ``[time, batch, hidden_size]`` and the final state.
    """
    return cell.native(x, state) if backend == "native" else eager(cell, x, state)


def eager(cell: Cell, x: Tensor, state: State) -> tuple[Tensor, State]:
    """The plain loop: the projection of all steps at once, then one step after the other."""
    outputs = []
    for z in cell.project(x).unbind(0):
        state = cell.step(z, state)
        outputs.append(state[0])
    return torch.stack(outputs), state
