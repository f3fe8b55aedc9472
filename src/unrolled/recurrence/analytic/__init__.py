"""Cells whose backward pass over time is written out: forward and backward of a whole layer with
the fewest operations a step.
"""

from functools import partial

import torch
from torch import Tensor

from unrolled.cells.autocast import half_type
from unrolled.cells.base import Cell, State
from unrolled.cells.gated import GatedCell
from unrolled.cells.lstm import LSTM
from unrolled.recurrence.analytic.c_layer import c_layer_steps
from unrolled.recurrence.analytic.lstm import lstm_steps
from unrolled.recurrence.analytic.one_state import EQUATIONS, one_state_steps
from unrolled.recurrence.analytic.passes import kernel_for
from unrolled.recurrence.lookup import Inputs, mapped, rows_of
from unrolled.recurrence.products import linear
from unrolled.recurrence.steps import Steps


def has_analytic(cell: Cell) -> bool:
    """Whether a cell's passes over time are written out."""
    # By exact class: a subclass may have another step.
    return type(cell) in EQUATIONS or _is_lstm(cell)


def analytic_layer(cell: Cell, x: Inputs, steps: Steps, state: State) -> tuple[Tensor, State]:
    """All steps of a cell that ``has_analytic``.

    Under autocast the recurrent products are of its type, everything else is as without: sums over
    time stay in fp32, since a rate of decay near 1 is 1 in bf16.

    Args:
        x: ``[rows, input_size]``, or a lookup of as many.
        state: before the first step, ``[batch, hidden_size]`` for each part.

    Returns:
        ``h`` of all steps, ``[rows, hidden_size]``, and each sequence's final state.
    """
    assert isinstance(cell, GatedCell)
    z = mapped(partial(linear, weight=cell.weight_ih, bias=cell.bias_ih), x)
    half = half_type(z.device)
    dtype = z.dtype if half is None else half
    kernel = None
    if z.device.type == "cpu" and state[0].dtype == torch.float32:
        kernel = kernel_for(cell)
    if kernel is not None and dtype in kernel:
        z = mapped(partial(torch.Tensor.to, dtype=dtype), z)
        states = c_layer_steps(cell, kernel[dtype], z, steps, state)
    else:
        run, rows = lstm_steps if _is_lstm(cell) else one_state_steps, rows_of(z)
        states = run(cell, rows if half is None else rows.float(), steps, state)
    # Copies, so that the last state does not keep all of them in memory.
    return states[0], tuple(steps.final(part).clone() for part in states)


def _is_lstm(cell: Cell) -> bool:
    return type(cell) is LSTM and cell.projection_size is None
