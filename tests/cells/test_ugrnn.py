from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.special import expit

from unrolled.cells.ugrnn import UGRNN


def test_one_step_is_the_published_equations(
    compare_with_equations: Callable[..., None],
) -> None:
    def equations(p: Any, x: Any, h: Any) -> Any:
        c, g = (p[gate].W @ x + p[gate].U @ h + p[gate].b for gate in "cg")
        return (expit(g) * h + (1 - expit(g)) * np.tanh(c),)

    compare_with_equations(UGRNN, equations)


def test_the_gate_starts_at_its_bias_and_the_rest_in_pytorchs_range() -> None:
    for options, start in (({}, 1.0), ({"gate_bias": -2.0}, -2.0)):
        cell = UGRNN(30, 100, **options)
        assert torch.equal(cell.bias_ih[cell.gate("g")], torch.full((100,), start))
        rest = [cell.weight_ih, cell.weight_hh, cell.bias_ih[cell.gate("c")]]
        assert all(0.08 < part.abs().max() <= 0.1 for part in rest)
    assert sum(p.numel() for p in UGRNN(30, 100).parameters()) == 2 * 100 * (30 + 100 + 1)


def test_an_open_gate_keeps_the_state() -> None:
    cell = UGRNN(2, 3, gate_bias=100.0)
    h = torch.randn(4, 3)
    (kept,) = cell.step(cell.project(torch.randn(4, 2)), (h,))
    torch.testing.assert_close(kept, h)
