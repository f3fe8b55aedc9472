import numpy as np
import pytest
import torch
from scipy.special import expit

from unrolled.cells.base import State
from unrolled.cells.min_lstm import MinLSTM
from unrolled.errors import ConfigError


@pytest.mark.parametrize("candidate", ["linear", "positive"])
def test_the_steps_are_the_published_equations(candidate: str) -> None:
    torch.manual_seed(3)
    cell = MinLSTM(4, 5, candidate=candidate).double()  # type: ignore[arg-type]
    W_f, W_i, W_h = (block.detach().numpy() for block in cell.weight_ih.chunk(3))
    b_f, b_i, b_h = (block.detach().numpy() for block in cell.bias_ih.chunk(3))
    x = 3 * torch.randn(6, 4, dtype=torch.float64)
    h = torch.randn(5, dtype=torch.float64)
    expected = h.numpy()
    state: State = (h[None],)
    for row in x:
        with torch.no_grad():
            state = cell.step(cell.project(row[None]), state)
        now = row.numpy()
        f, i, new = expit(W_f @ now + b_f), expit(W_i @ now + b_i), W_h @ now + b_h
        if candidate == "positive":
            new = np.array([a + 0.5 if a >= 0 else 1 / (1 + np.exp(-a)) for a in new])
        expected = f / (f + i) * expected + i / (f + i) * new
        np.testing.assert_allclose(state[0][0].numpy(), expected, rtol=0, atol=1e-12)


def test_gates_that_underflow_still_share_the_state_out() -> None:
    cell = MinLSTM(1, 1)
    # σ(-200) and σ(-201) are zero in float32; their ratio is e.
    z = torch.tensor([[-200.0, -201.0, 1.0]], requires_grad=True)
    f, write = cell.coefficients(z)
    np.testing.assert_allclose(f.item(), np.e / (1 + np.e), rtol=1e-5)
    np.testing.assert_allclose(write.item(), 1 / (1 + np.e), rtol=1e-5)
    (gradient,) = torch.autograd.grad(f.sum() + write.sum(), z)
    assert torch.isfinite(gradient).all()


def test_an_open_forget_gate_beside_a_shut_input_gate_keeps_the_memory() -> None:
    cell = MinLSTM(4, 5)
    old = cell.bias_ih.detach().clone()
    cell.set_forget_bias(3.0)
    assert torch.equal(cell.bias_ih[:5], torch.full((5,), 3.0))
    assert torch.equal(cell.bias_ih[5:], old[5:])
    torch.nn.init.constant_(cell.bias_ih[5:10], -100.0)
    h = torch.randn(1, 5)
    torch.testing.assert_close(cell.step(cell.project(torch.zeros(1, 4)), (h,))[0], h)


def test_another_candidate_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"cell\.candidate=log: choose linear or positive"):
        MinLSTM(4, 5, candidate="log")  # type: ignore[arg-type]
