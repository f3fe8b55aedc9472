import numpy as np
import pytest
import torch
from scipy.special import expit

from unrolled.cells.base import State
from unrolled.cells.sru import SRU


@pytest.mark.parametrize("input_size", [5, 4])
def test_the_steps_are_the_published_equations(input_size: int) -> None:
    torch.manual_seed(3)
    cell = SRU(input_size, 5).double()
    torch.nn.init.normal_(cell.bias_ih)
    W, W_f, W_r, *W_h = (block.detach().numpy() for block in torch.split(cell.weight_ih, 5))
    b_f, b_r = (block.detach().numpy() for block in cell.bias_ih.chunk(2))
    assert len(W_h) == (input_size != 5)
    x = torch.randn(6, input_size, dtype=torch.float64)
    c = torch.randn(5, dtype=torch.float64)
    expected = c.numpy()
    state: State = (c[None],)
    for row in x:
        with torch.no_grad():
            z = cell.project(row[None])
            state = cell.step(z, state)
            y = cell.output(z, state)
        now = row.numpy()
        f, r = expit(W_f @ now + b_f), expit(W_r @ now + b_r)
        expected = f * expected + (1 - f) * (W @ now)
        h = r * np.tanh(expected) + (1 - r) * (W_h[0] @ now if W_h else now)
        np.testing.assert_allclose(state[0][0].numpy(), expected, rtol=0, atol=1e-12)
        np.testing.assert_allclose(y[0].numpy(), h, rtol=0, atol=1e-12)


def test_matrices_start_in_the_authors_range_and_gates_at_their_bias() -> None:
    cell = SRU(12, 50, highway_bias=-3.0)
    assert 0.49 < cell.weight_ih.abs().max() <= 0.5
    assert torch.equal(cell.bias_ih, torch.tensor([0.0] * 50 + [-3.0] * 50))


def test_a_highway_that_is_shut_passes_the_input_on() -> None:
    cell = SRU(5, 5, highway_bias=-100.0)
    x = torch.randn(7, 3, 5)
    z = cell.project(x)
    torch.testing.assert_close(cell.output(z, (torch.randn(7, 3, 5),)), x)


def test_the_forget_bias_is_set_alone() -> None:
    cell = SRU(4, 5, highway_bias=-3.0)
    cell.set_forget_bias(2.0)
    assert torch.equal(cell.bias_ih, torch.tensor([2.0] * 5 + [-3.0] * 5))
