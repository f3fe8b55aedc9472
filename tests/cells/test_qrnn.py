import numpy as np
import pytest
import torch
from scipy.special import expit

from unrolled.cells.base import State
from unrolled.cells.qrnn import QRNN
from unrolled.errors import ConfigError


@pytest.mark.parametrize("window", [1, 2, 3])
def test_the_steps_are_the_published_equations(window: int) -> None:
    torch.manual_seed(3)
    cell = QRNN(4, 5, window=window).double()
    assert cell.window == window
    W = cell.weight_ih.detach().numpy().reshape(3, 5, window, 4)
    b = cell.bias_ih.detach().numpy().reshape(3, 5)
    x = torch.randn(6, 4, dtype=torch.float64)
    before = torch.zeros(window, 4, dtype=torch.float64)
    c = torch.randn(5, dtype=torch.float64)
    expected = c.numpy()
    state: State = (c[None],)
    for row in x:
        before = torch.cat([row[None], before[:-1]])
        with torch.no_grad():
            projected = cell.project(before.flatten()[None])
            state = cell.step(projected, state)
            y = cell.output(projected, state)
        z, f, o = (
            b[gate] + sum(W[gate, :, k] @ before[k].numpy() for k in range(window))
            for gate in range(3)
        )
        expected = expit(f) * expected + (1 - expit(f)) * np.tanh(z)
        np.testing.assert_allclose(state[0][0].numpy(), expected, rtol=0, atol=1e-12)
        np.testing.assert_allclose(y[0].numpy(), expit(o) * expected, rtol=0, atol=1e-12)


def test_everything_starts_in_the_range_of_the_whole_window() -> None:
    cell = QRNN(8, 50, window=2)
    assert 0.24 < cell.weight_ih.abs().max() <= 0.25
    assert cell.bias_ih.abs().max() <= 0.25
    assert sum(p.numel() for p in QRNN(8, 50, window=3).parameters()) == 3 * 50 * (3 * 8 + 1)


def test_an_open_forget_gate_keeps_the_memory() -> None:
    cell = QRNN(4, 5)
    old = cell.bias_ih.detach().clone()
    cell.set_forget_bias(100.0)
    assert torch.equal(cell.bias_ih[:5], old[:5])
    assert torch.equal(cell.bias_ih[10:], old[10:])
    c = torch.randn(1, 5)
    torch.testing.assert_close(cell.step(cell.project(torch.randn(1, 8)), (c,))[0], c)


def test_a_window_without_an_input_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"cell\.window=0"):
        QRNN(4, 5, window=0)
