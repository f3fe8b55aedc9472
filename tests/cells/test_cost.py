import pytest
import torch
from torch import Tensor, nn

from unrolled.cells.base import Cell, State
from unrolled.cells.cost import flops, state_size
from unrolled.cells.gru import GRU
from unrolled.cells.lru import LRU
from unrolled.cells.lstm import LSTM
from unrolled.cells.lstm_mogrifier import LSTMMogrifier
from unrolled.cells.qrnn import QRNN
from unrolled.cells.rhn import RHN
from unrolled.cells.rnn_tanh import RnnTanh
from unrolled.cells.slstm import SLSTM
from unrolled.errors import CellError

INPUT, HIDDEN = 7, 12


class Simple(Cell):
    """A cell of a user's own, with something beside its parameters."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.W = nn.Linear(input_size, hidden_size)
        self.U = nn.Linear(hidden_size, hidden_size)
        self.scale = torch.ones(hidden_size)
        self.drop = nn.Dropout(0.5)

    def project(self, x: Tensor) -> Tensor:
        projected: Tensor = self.drop(self.W(x))
        return projected

    def step(self, z: Tensor, state: State) -> State:
        return (torch.tanh(z + self.U(self.scale * state[0])),)


class Moody(Simple):
    """Its arithmetic hangs on a value."""

    def step(self, z: Tensor, state: State) -> State:
        return super().step(z, state) if float(z.sum()) < 9 else state


@pytest.mark.parametrize(("kind", "gates"), [(LSTM, 4), (GRU, 3), (RnnTanh, 1)])
def test_a_gated_cell_multiplies_each_gates_two_matrices(
    kind: type[LSTM | GRU | RnnTanh], gates: int
) -> None:
    assert flops(kind(INPUT, HIDDEN)) == 2 * gates * HIDDEN * (INPUT + HIDDEN)


def test_a_projection_narrows_the_state_and_costs_its_own() -> None:
    cell = LSTM(INPUT, HIDDEN, projection_size=5)
    assert flops(cell) == 2 * (4 * HIDDEN * (INPUT + 5) + 5 * HIDDEN)
    assert state_size(cell) == 5 + HIDDEN


def test_rounds_of_gating_are_counted() -> None:
    plain = LSTMMogrifier(INPUT, HIDDEN, rounds=1)
    more = LSTMMogrifier(INPUT, HIDDEN, rounds=4)
    assert flops(more) - flops(plain) == 3 * 2 * INPUT * HIDDEN


def test_heads_multiply_blocks_only() -> None:
    cell = SLSTM(INPUT, HIDDEN, heads=4)
    assert flops(cell) == 2 * 4 * HIDDEN * (INPUT + HIDDEN // 4)
    assert state_size(cell) == 4 * HIDDEN


def test_a_window_is_carried_and_multiplied() -> None:
    cell = QRNN(INPUT, HIDDEN, window=3)
    assert flops(cell) == 2 * 3 * HIDDEN * 3 * INPUT
    assert state_size(cell) == HIDDEN + 2 * INPUT


def test_complex_numbers_are_counted_as_the_real_products_they_are() -> None:
    cell = LRU(INPUT, HIDDEN)
    assert flops(cell) == 2 * (3 * HIDDEN * INPUT + 2 * HIDDEN * HIDDEN)
    assert state_size(cell) == 2 * HIDDEN


def test_every_layer_of_a_deep_step_is_counted() -> None:
    shallow, deep = RHN(INPUT, HIDDEN, depth=1), RHN(INPUT, HIDDEN, depth=3)
    assert flops(deep) - flops(shallow) == 2 * (2 * 2 * HIDDEN * HIDDEN)


@pytest.mark.parametrize("kind", [LSTM, LRU, SLSTM, QRNN, Simple])
def test_a_cell_without_storage_costs_the_same(kind: type[Cell]) -> None:
    cell = kind(INPUT, HIDDEN)
    with torch.device("meta"):
        shape = kind(INPUT, HIDDEN)
    assert flops(cell) == flops(shape) == flops(cell.double())


def test_a_cell_of_ones_own_is_counted_without_disturbing_the_generator() -> None:
    cell = Simple(INPUT, HIDDEN)
    before = torch.get_rng_state()
    assert flops(cell) == 2 * HIDDEN * (INPUT + HIDDEN)
    assert torch.equal(torch.get_rng_state(), before)
    assert cell.training
    assert cell.drop.training


def test_a_cell_that_asks_for_values_is_refused_where_there_are_none() -> None:
    assert flops(Moody(INPUT, HIDDEN)) == 2 * HIDDEN * (INPUT + HIDDEN)
    with torch.device("meta"):
        shape = Moody(INPUT, HIDDEN)
    with pytest.raises(CellError, match=r"Moody cannot be counted for budget\.flops.*item"):
        flops(shape)


def test_counting_leaves_the_cell_and_the_generator_alone() -> None:
    cell = LSTM(INPUT, HIDDEN)
    before = torch.get_rng_state()
    flops(cell)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(parameter.device.type == "cpu" for parameter in cell.parameters())
