from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.special import expit

from unrolled.cells.mgu import MGU


def test_one_step_is_the_published_equations(
    compare_with_equations: Callable[..., None],
) -> None:
    def equations(p: Any, x: Any, h: Any) -> Any:
        w_f, w_h = np.split(p["weight_ih"], 2)
        b_f, b_h = np.split(p["bias_ih"], 2)
        W_f, W_h = np.hstack([p["weight_hh"], w_f]), np.hstack([p["weight_hn"], w_h])
        f = expit(W_f @ np.concatenate([h, x]) + b_f)
        new = np.tanh(W_h @ np.concatenate([f * h, x]) + b_h)
        return ((1 - f) * h + f * new,)

    compare_with_equations(MGU, equations)


def test_everything_starts_in_pytorchs_range() -> None:
    for parameter in MGU(30, 100).parameters():
        assert 0.08 < parameter.abs().max() <= 0.1
    assert sum(p.numel() for p in MGU(30, 100).parameters()) == 2 * 100 * (30 + 100 + 1)


def test_its_gate_forgets_where_it_is_open() -> None:
    cell = MGU(2, 3)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.zero_()
        cell.bias_ih[:3] = 50.0
    (h,) = cell.step(cell.project(torch.zeros(1, 2)), (torch.ones(1, 3),))
    assert not h.any()
