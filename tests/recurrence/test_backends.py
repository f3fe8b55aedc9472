import pytest
import torch
from torch import Tensor, nn

from unrolled.cells.base import Cell, State
from unrolled.cells.gru import GRU
from unrolled.cells.lstm import LSTM
from unrolled.errors import ConfigError
from unrolled.recurrence.backends import choose, eager, run


class Leaky(Cell):
    """A cell from outside, without a fused kernel: h_t = h_{t-1} / 2 + a x_t."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.a = nn.Parameter(torch.ones(hidden_size, input_size))

    def project(self, x: Tensor) -> Tensor:
        return x @ self.a.T

    def step(self, z: Tensor, state: State) -> State:
        return (state[0] / 2 + z,)

    def reset_parameters(self) -> None:
        nn.init.ones_(self.a)


def test_auto_is_the_fused_kernel_where_there_is_one() -> None:
    assert choose(LSTM(2, 3), "auto") == "native"
    assert choose(Leaky(2, 3), "auto") == "eager"
    assert choose(LSTM(2, 3), "eager") == "eager"


def test_a_kernel_that_a_cell_lacks_is_refused() -> None:
    with pytest.raises(ConfigError, match="Leaky has no fused kernel; take eager or auto"):
        choose(Leaky(2, 3), "native")


def test_an_unknown_backend_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"quick.*auto, native, eager"):
        choose(LSTM(2, 3), "quick")


def test_the_loop_runs_in_the_order_of_time() -> None:
    x = torch.tensor([8.0, 4.0, 2.0]).view(3, 1, 1)
    y, (h,) = eager(Leaky(1, 1), x, (torch.tensor([[16.0]]),))
    assert y.flatten().tolist() == [16.0, 12.0, 8.0]
    assert h.tolist() == [[8.0]]


def test_both_ways_give_the_same() -> None:
    torch.manual_seed(0)
    cell = GRU(3, 4).double()
    x, h = torch.randn(6, 2, 3).double(), torch.randn(2, 4).double()
    native, (native_h,) = run(cell, x, (h,), "native")
    looped, (looped_h,) = run(cell, x, (h,), "eager")
    torch.testing.assert_close(native, looped, rtol=0, atol=1e-12)
    torch.testing.assert_close(native_h, looped_h, rtol=0, atol=1e-12)
