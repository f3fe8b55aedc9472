import numpy as np
import pytest
import torch
from scipy.special import expit

from unrolled.cells.base import State
from unrolled.cells.min_gru import MinGRU
from unrolled.errors import ConfigError


@pytest.mark.parametrize("candidate", ["linear", "positive"])
def test_the_steps_are_the_published_equations(candidate: str) -> None:
    torch.manual_seed(3)
    cell = MinGRU(4, 5, candidate=candidate).double()  # type: ignore[arg-type]
    W_z, W_h = (block.detach().numpy() for block in cell.weight_ih.chunk(2))
    b_z, b_h = (block.detach().numpy() for block in cell.bias_ih.chunk(2))
    x = 3 * torch.randn(6, 4, dtype=torch.float64)
    h = torch.randn(5, dtype=torch.float64)
    expected = h.numpy()
    state: State = (h[None],)
    for row in x:
        with torch.no_grad():
            state = cell.step(cell.project(row[None]), state)
        z, new = expit(W_z @ row.numpy() + b_z), W_h @ row.numpy() + b_h
        if candidate == "positive":
            new = np.array([a + 0.5 if a >= 0 else 1 / (1 + np.exp(-a)) for a in new])
        expected = (1 - z) * expected + z * new
        np.testing.assert_allclose(state[0][0].numpy(), expected, rtol=0, atol=1e-12)


def test_a_positive_candidate_keeps_the_state_above_zero() -> None:
    cell = MinGRU(4, 5, candidate="positive")
    state = cell.initial_state(8, torch.zeros(1))
    for _ in range(20):
        state = cell.step(cell.project(10 * torch.randn(8, 4)), state)
    assert state[0].min() > 0


def test_a_small_share_of_the_old_state_keeps_its_digits() -> None:
    cell = MinGRU(1, 1)
    keep, _ = cell.coefficients(torch.tensor([[20.0, 0.0]]))
    np.testing.assert_allclose(keep.item(), expit(-20.0), rtol=1e-6)


def test_everything_starts_as_in_a_linear_layer() -> None:
    cell = MinGRU(16, 100)
    assert 0.24 < cell.weight_ih.abs().max() <= 0.25
    assert 0.2 < cell.bias_ih.abs().max() <= 0.25


def test_another_candidate_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"cell\.candidate=log: choose linear or positive"):
        MinGRU(4, 5, candidate="log")  # type: ignore[arg-type]
