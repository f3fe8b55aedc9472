"""Cells with a fused kernel: how their weights lie for cuDNN. What a device makes of it is in
tests/training/test_gpu.py."""

from collections.abc import Iterable

import pytest
import torch
from torch import nn

from unrolled import layers
from unrolled.cells.fused import FusedCell
from unrolled.cells.gru import GRU
from unrolled.cells.irnn import IRNN
from unrolled.cells.lstm import LSTM
from unrolled.cells.rnn_relu import RnnRelu
from unrolled.cells.rnn_tanh import RnnTanh

CELLS: list[tuple[type[FusedCell], str]] = [
    (LSTM, "LSTM"),
    (GRU, "GRU"),
    (RnnTanh, "RNN_TANH"),
    (RnnRelu, "RNN_RELU"),
]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[nn.RNNBase]:
    """PyTorch's layers that are asked to lay weights out, which each is as it is made, too; all
    weights say that they are on a device, which there is none of here."""
    monkeypatch.setattr(torch.Tensor, "is_cuda", True)
    found: list[nn.RNNBase] = []
    monkeypatch.setattr(nn.RNNBase, "flatten_parameters", lambda layer: found.append(layer))
    return found


def ids(weights: Iterable[object]) -> list[int]:
    return [id(one) for one in weights]


@pytest.mark.parametrize(("kind", "mode"), [*CELLS, (IRNN, "RNN_RELU")])
def test_the_very_parameters_are_laid_out_in_the_kernel_s_order(
    kind: type[FusedCell], mode: str, asked: list[nn.RNNBase]
) -> None:
    cell = kind(3, 5)
    state, weights = torch.get_rng_state(), ids(cell.weights())
    cell.flatten_parameters()
    assert asked[-1].mode == mode
    assert ids(asked[-1]._flat_weights) == ids(cell.weights()) == weights
    assert torch.equal(torch.get_rng_state(), state)


def test_a_projection_is_laid_out_too(asked: list[nn.RNNBase]) -> None:
    cell = LSTM(3, 5, projection_size=2)
    cell.flatten_parameters()
    assert asked[-1].proj_size == 2
    assert ids(asked[-1]._flat_weights) == ids(cell.weights())


def test_a_move_to_a_device_lays_weights_out(asked: list[nn.RNNBase]) -> None:
    cell, wide = LSTM(3, 5), LSTM(3, 5, projection_size=7)
    cell.to(torch.float32)
    assert ids(asked[-1]._flat_weights) == ids(cell.weights())
    asked.clear()
    # No kernel takes it, and biases that are left out are no parameters.
    wide.to(torch.float32)
    layers.LSTM(3, 5, bias=False).to(torch.float32)
    layers.MGU(3, 5).to(torch.float32)
    assert not asked
    layer = layers.LSTM(3, 5, 2, bidirectional=True)
    layer.to(torch.float32)
    # Each second one is asked as it is made.
    assert [ids(one._flat_weights) for one in asked[1::2]] == [*map(ids, layer.all_weights)]


@pytest.mark.parametrize(("kind", "mode"), CELLS)
def test_the_layer_of_torch_computes_the_cell(kind: type[FusedCell], mode: str) -> None:
    torch.manual_seed(0)
    cell, x = kind(3, 5), torch.randn(4, 2, 3)
    layer = cell.layer_of_torch()
    with torch.no_grad():
        for mine, theirs in zip(cell.weights(), layer.parameters(), strict=True):
            theirs.copy_(mine)
    state = tuple(torch.zeros(2, size) for size in cell.state_sizes)
    outputs, _ = cell.native(x, state)
    torch.testing.assert_close(outputs, layer(x)[0])


def test_on_a_cpu_each_weight_keeps_its_memory() -> None:
    cell = LSTM(3, 5)
    cell.to(torch.float64)
    assert len({weight.untyped_storage().data_ptr() for weight in cell.weights()}) == 4
