from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import expit
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.cells.base import State
from unrolled.cells.lstm import LSTM


def test_one_step_is_the_published_equations(
    compare_with_equations: Callable[..., None],
) -> None:
    def equations(p: Any, x: Any, h: Any, c: Any) -> Any:
        i, f, g, o = (
            gate.W @ x + gate.b + gate.U @ h + gate.c for gate in (p[name] for name in "ifgo")
        )
        new_c = expit(f) * c + expit(i) * np.tanh(g)
        return expit(o) * np.tanh(new_c), new_c

    compare_with_equations(LSTM, equations)


@pytest.mark.parametrize("projection_size", [3, 5, 8])
def test_one_step_with_a_projection_is_the_published_equations(
    compare_with_equations: Callable[..., None], projection_size: int
) -> None:
    def equations(p: Any, x: Any, h: Any, c: Any) -> Any:
        assert h.shape == (projection_size,)
        i, f, g, o = (
            gate.W @ x + gate.b + gate.U @ h + gate.c for gate in (p[name] for name in "ifgo")
        )
        new_c = expit(f) * c + expit(i) * np.tanh(g)
        return p["weight_hr"] @ (expit(o) * np.tanh(new_c)), new_c

    compare_with_equations(LSTM, equations, projection_size=projection_size)


def test_a_sequence_is_the_textbooks_equations_on_h_beside_x() -> None:
    torch.manual_seed(4)
    cell = LSTM(4, 5).double()
    assert cell.bias_hh is not None
    W = {
        gate: np.hstack([cell.weight_hh[rows].detach(), cell.weight_ih[rows].detach()])
        for gate, rows in ((gate, cell.gate(gate)) for gate in "ifgo")
    }
    both = (cell.bias_ih + cell.bias_hh).detach().numpy()
    b = {gate: both[cell.gate(gate)] for gate in "ifgo"}
    x = torch.randn(20, 4, dtype=torch.float64)
    h_t, C_t, state = np.zeros(5), np.zeros(5), cell.initial_state(1, x)
    for x_t in x.numpy():
        read = np.concatenate([h_t, x_t])
        f_t = expit(W["f"] @ read + b["f"])
        i_t = expit(W["i"] @ read + b["i"])
        new = np.tanh(W["g"] @ read + b["g"])
        C_t = f_t * C_t + i_t * new
        o_t = expit(W["o"] @ read + b["o"])
        h_t = o_t * np.tanh(C_t)
        with torch.no_grad():
            state = cell.step(cell.project(torch.from_numpy(x_t)[None]), state)
        for found, expected in zip(state, (h_t, C_t), strict=True):
            np.testing.assert_allclose(found[0].numpy(), expected, rtol=0, atol=1e-12)
    assert np.abs(h_t).max() > 0.1


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
def test_a_projection_is_pytorchs() -> None:
    torch.manual_seed(5)
    cell = LSTM(4, 5, projection_size=3).double()
    module = nn.LSTM(4, 5, proj_size=3).double()
    with torch.no_grad():
        for ours, theirs in zip(cell.parameters(), module.parameters(), strict=True):
            theirs.copy_(ours)
    x = torch.randn(6, 2, 4, dtype=torch.float64)
    start: State = tuple(torch.randn_like(part) for part in cell.initial_state(2, x))
    assert [part.shape[1] for part in start] == [3, 5]
    y, (h, c) = module(x, tuple(part[None] for part in start))
    expected = [y, h[0], c[0], *gradients(y, c, [*module.parameters()])]

    def check(y: Tensor, state: State) -> None:
        found = [y, *state, *gradients(y, state[1], [*cell.parameters()])]
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-12)

    state, outputs = start, []
    for now in x:
        state = cell.step(cell.project(now), state)
        outputs.append(state[0])
    check(torch.stack(outputs), state)
    check(*cell.native(x, start))


def gradients(y: Tensor, c: Tensor, parameters: list[nn.Parameter]) -> list[Tensor]:
    weights = torch.arange(1.0, 1 + y.numel(), dtype=y.dtype).view_as(y)
    scalar = (weights * y).sum() + c.square().sum()
    return list(torch.autograd.grad(scalar, parameters, retain_graph=True))


def test_a_projection_as_wide_as_the_memory_or_wider_is_a_product_behind_the_cell() -> None:
    torch.manual_seed(6)
    for size in (5, 8):
        cell = LSTM(4, 5, projection_size=size).double()
        assert cell.output_size == size
        assert (
            sum(p.numel() for p in LSTM(4, 5, projection_size=size).parameters())
            == 20 * (4 + size + 2) + 5 * size
        )
        x = torch.randn(2, 4, dtype=torch.float64)
        h, c = (torch.randn_like(part) for part in cell.initial_state(2, x))
        new_h, new_c = cell.step(cell.project(x), (h, c))
        # Without its projection it is PyTorch's cell on the recurrent part that it reads.
        plain = nn.LSTMCell(4 + size, 5).double()
        with torch.no_grad():
            plain.weight_ih.copy_(torch.cat([cell.weight_ih, cell.weight_hh], 1))
            plain.bias_ih.copy_(cell.bias_ih)
            assert cell.bias_hh is not None
            plain.bias_hh.copy_(cell.bias_hh)
            plain.weight_hh.zero_()
        inner, memory = plain(torch.cat([x, h], 1), (torch.zeros_like(c), c))
        torch.testing.assert_close(new_c, memory, rtol=0, atol=1e-12)
        torch.testing.assert_close(new_h, F.linear(inner, cell.weight_hr), rtol=0, atol=1e-12)


def test_an_open_forget_gate_keeps_the_memory() -> None:
    cell = LSTM(2, 3)
    cell.set_forget_bias(30.0)
    with torch.no_grad():
        cell.bias_ih[:3] = -30.0  # the input gate, shut
    c = torch.randn(1, 3)
    _, kept = cell.step(cell.project(torch.zeros(1, 2)), (torch.zeros(1, 3), c))
    torch.testing.assert_close(kept, c)
