"""Cells whose backward pass over time is written out: forward and backward of a whole layer with
the fewest operations a step.
"""

from torch import Tensor

from unrolled.cells.base import Cell, State
from unrolled.cells.lstm import LSTM
from unrolled.recurrence.analytic.lstm import lstm_steps
from unrolled.recurrence.analytic.one_state import EQUATIONS, one_state_steps
from unrolled.recurrence.steps import Steps


def has_analytic(cell: Cell) -> bool:
    """Whether a cell's passes over time are written out."""
    # By exact class: a subclass may have another step.
    return type(cell) in EQUATIONS or _is_lstm(cell)


def analytic_steps(cell: Cell, z: Tensor, steps: Steps, state: State) -> tuple[State, State]:
    """All steps of a cell that ``has_analytic``.

    Under autocast the recurrent products are of its type, everything else is as without.

    Args:
        z: ``[rows, gates * hidden_size]``.
        state: before the first step, ``[batch, hidden_size]`` for each part.

    Returns:
        ``h`` of all steps, ``[rows, hidden_size]``, and each sequence's final state.
    """
    run = lstm_steps if _is_lstm(cell) else one_state_steps
    return run(cell, z, steps, state)


def _is_lstm(cell: Cell) -> bool:
    return type(cell) is LSTM and cell.projection_size is None
