from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.special import expit

from unrolled.cells.lstm import LSTM


def test_one_step_is_the_published_equations(
    compare_with_equations: Callable[..., None],
) -> None:
    def equations(gates: Any, x: Any, h: Any, c: Any) -> Any:
        i, f, g, o = (
            gate.W @ x + gate.b + gate.U @ h + gate.c for gate in (gates[name] for name in "ifgo")
        )
        new_c = expit(f) * c + expit(i) * np.tanh(g)
        return expit(o) * np.tanh(new_c), new_c

    compare_with_equations(LSTM, equations)


def test_an_open_forget_gate_keeps_the_memory() -> None:
    cell = LSTM(2, 3)
    cell.set_forget_bias(30.0)
    with torch.no_grad():
        cell.bias_ih[:3] = -30.0  # the input gate, shut
    c = torch.randn(1, 3)
    _, kept = cell.step(cell.project(torch.zeros(1, 2)), (torch.zeros(1, 3), c))
    torch.testing.assert_close(kept, c)
