import pytest
import torch

from unrolled.cells.cost import flops, state_size
from unrolled.cells.gru import GRU
from unrolled.cells.lstm import LSTM
from unrolled.cells.lstm_mogrifier import LSTMMogrifier
from unrolled.cells.qrnn import QRNN
from unrolled.cells.rnn_tanh import RnnTanh
from unrolled.cells.slstm import SLSTM

INPUT, HIDDEN = 7, 12


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


def test_counting_leaves_the_cell_and_the_generator_alone() -> None:
    cell = LSTM(INPUT, HIDDEN)
    before = torch.get_rng_state()
    flops(cell)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(parameter.device.type == "cpu" for parameter in cell.parameters())
