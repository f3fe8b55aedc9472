from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.special import expit

from unrolled.cells.lstm_peephole import LSTMPeephole


def test_one_step_is_the_published_equations(
    compare_with_equations: Callable[..., None],
) -> None:
    def equations(p: Any, x: Any, h: Any, c: Any) -> Any:
        i, f, g, o = (p[gate].W @ x + p[gate].U @ h + p[gate].b for gate in "ifgo")
        i = expit(i + p["peephole_i"] * c)
        f = expit(f + p["peephole_f"] * c)
        new_c = f * c + i * np.tanh(g)
        o = expit(o + p["peephole_o"] * new_c)
        return o * np.tanh(new_c), new_c

    compare_with_equations(LSTMPeephole, equations)


def test_everything_starts_in_pytorchs_range() -> None:
    cell = LSTMPeephole(30, 100)
    for parameter in cell.parameters():
        assert 0.08 < parameter.abs().max() <= 0.1
    # Four gates with one bias each, and three peepholes.
    assert (
        sum(p.numel() for p in LSTMPeephole(30, 100).parameters())
        == 4 * 100 * (30 + 100 + 1) + 3 * 100
    )


def test_closed_gates_open_when_the_memory_is_large() -> None:
    cell = LSTMPeephole(2, 3)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.zero_()
        cell.bias_ih[cell.gate("o")] = -50.0
        cell.bias_ih[cell.gate("f")] = 50.0
        cell.peephole_o.fill_(10.0)
    z = cell.project(torch.zeros(1, 2))
    shut, _ = cell.step(z, (torch.zeros(1, 3), torch.full((1, 3), 1.0)))
    opened, _ = cell.step(z, (torch.zeros(1, 3), torch.full((1, 3), 10.0)))
    assert shut.abs().max() < 1e-6
    assert opened.min() > 0.99
