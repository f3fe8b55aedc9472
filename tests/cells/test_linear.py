"""Linear recurrences over many steps."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from unrolled.cells.linear import LinearCell
from unrolled.cells.lru import LRU
from unrolled.cells.min_gru import MinGRU
from unrolled.cells.min_lstm import MinLSTM
from unrolled.cells.qrnn import QRNN
from unrolled.cells.sru import SRU

STEPS, BATCH, INPUT, HIDDEN = 4096, 2, 6, 8
CELLS: dict[str, Callable[[], LinearCell]] = {
    "sru": lambda: SRU(INPUT, HIDDEN),
    "qrnn": lambda: QRNN(INPUT, HIDDEN),
    "min_gru": lambda: MinGRU(INPUT, HIDDEN),
    "min_gru_positive": lambda: MinGRU(INPUT, HIDDEN, candidate="positive"),
    "min_lstm": lambda: MinLSTM(INPUT, HIDDEN),
    "min_lstm_positive": lambda: MinLSTM(INPUT, HIDDEN, candidate="positive"),
    "lru": lambda: LRU(INPUT, HIDDEN),
    # Memories of 500 to 5,000 steps.
    "lru_slow": lambda: LRU(INPUT, HIDDEN, r_min=0.998, r_max=0.9998),
}
# Of the largest output: 16 roundings for all but the slow memories, where λ itself is rounded, and
# to the same side at each of the thousands of steps that they last.
BOUNDS = {"lru_slow": 1e-4}


def outputs(cell: LinearCell, x: Tensor) -> Tensor:
    """``[time, batch, window * input]`` to ``[time, batch, output]``, by the plain loop."""
    z = cell.project(x)
    state = cell.initial_state(x.shape[1], z)
    states: list[Any] = []
    for now in z:
        state = cell.step(now, state)
        states.append(state)
    return cell.output(z, tuple(torch.stack(part) for part in zip(*states, strict=True)))


@pytest.mark.parametrize("name", CELLS)
def test_single_precision_holds_over_many_steps(name: str) -> None:
    torch.manual_seed(3)
    cell = CELLS[name]()
    # Gates that hold on to the state for long, so that rounding has time to add up.
    cell.set_forget_bias(4.0)
    x = torch.randn(STEPS, BATCH, cell.window * INPUT)
    with torch.no_grad():
        single = outputs(cell, x)
        double = outputs(cell.double(), x.double())
    assert single.dtype == torch.float32
    assert torch.isfinite(single).all()
    error = (single - double).abs().amax() / double.abs().amax()
    assert error < BOUNDS.get(name, 2e-6)
