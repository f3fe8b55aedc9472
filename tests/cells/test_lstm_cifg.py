from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.special import expit

from unrolled.cells.lstm_cifg import LSTMCIFG


def test_one_step_is_the_published_equations(
    compare_with_equations: Callable[..., None],
) -> None:
    def equations(p: Any, x: Any, h: Any, c: Any) -> Any:
        f, g, o = (p[gate].W @ x + p[gate].U @ h + p[gate].b for gate in "fgo")
        f = expit(f)
        i = 1 - f
        new_c = f * c + i * np.tanh(g)
        return expit(o) * np.tanh(new_c), new_c

    compare_with_equations(LSTMCIFG, equations)


def test_the_memory_stays_between_minus_one_and_one() -> None:
    torch.manual_seed(0)
    cell = LSTMCIFG(4, 5)
    state = cell.initial_state(8, torch.zeros(1))
    for _ in range(50):
        state = cell.step(cell.project(20 * torch.randn(8, 4)), state)
    assert 0.9 < state[1].abs().max() <= 1.0


def test_it_starts_in_pytorchs_range_with_three_gates() -> None:
    cell = LSTMCIFG(30, 100)
    for parameter in cell.parameters():
        assert 0.08 < parameter.abs().max() <= 0.1
    assert sum(p.numel() for p in LSTMCIFG(30, 100).parameters()) == 3 * 100 * (30 + 100 + 1)
