from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import expit

from unrolled.cells.gru_reset_before import GRUResetBefore


@pytest.mark.parametrize("bias", [True, False])
def test_one_step_resets_before_the_product(
    compare_with_equations: Callable[..., None], bias: bool
) -> None:
    def equations(p: Any, x: Any, h: Any) -> Any:
        from_x = np.split(p["weight_ih"] @ x + (p["bias_ih"] if bias else 0), 3)
        u_z, u_r = np.split(p["weight_hh"], 2)
        z = expit(from_x[0] + u_z @ h)
        r = expit(from_x[1] + u_r @ h)
        new = np.tanh(from_x[2] + p["weight_hn"] @ (r * h))
        return ((1 - z) * h + z * new,)

    compare_with_equations(GRUResetBefore, equations, bias=bias)


def test_a_sequence_is_the_textbooks_equations_on_h_beside_x() -> None:
    torch.manual_seed(4)
    cell = GRUResetBefore(4, 5, bias=False).double()
    in_z, in_r, in_n = (block.detach().numpy() for block in cell.weight_ih.chunk(3))
    re_z, re_r = (block.detach().numpy() for block in cell.weight_hh.chunk(2))
    W_z, W_r = np.hstack([re_z, in_z]), np.hstack([re_r, in_r])
    W = np.hstack([cell.weight_hn.detach().numpy(), in_n])
    x = torch.randn(20, 4, dtype=torch.float64)
    h_t, state = np.zeros(5), cell.initial_state(1, x)
    for x_t in x.numpy():
        z_t = expit(W_z @ np.concatenate([h_t, x_t]))
        r_t = expit(W_r @ np.concatenate([h_t, x_t]))
        new = np.tanh(W @ np.concatenate([r_t * h_t, x_t]))
        h_t = (1 - z_t) * h_t + z_t * new
        with torch.no_grad():
            state = cell.step(cell.project(torch.from_numpy(x_t)[None]), state)
        np.testing.assert_allclose(state[0][0].numpy(), h_t, rtol=0, atol=1e-12)
    assert np.abs(h_t).max() > 0.1


def test_everything_starts_in_pytorchs_range_and_biases_can_be_left_out() -> None:
    for parameter in GRUResetBefore(30, 100).parameters():
        assert 0.08 < parameter.abs().max() <= 0.1
    assert sum(p.numel() for p in GRUResetBefore(30, 100).parameters()) == 3 * 100 * (30 + 100 + 1)
    assert sum(p.numel() for p in GRUResetBefore(30, 100, bias=False).parameters()) == 3 * 100 * (
        30 + 100
    )
