"""Every mistake with a layer is one sentence that names the argument and what it expected."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import unrolled
from unrolled import layers
from unrolled.errors import LayerError, UnrolledError


@pytest.mark.parametrize(
    ("cell", "arguments", "said"),
    [
        ("lstmm", {}, "cell='lstmm': no such cell; did you mean lstm? There are gru, "),
        ("zzz", {}, "cell='zzz': no such cell; there are gru, "),
        (nn.LSTM, {}, "must be a subclass of unrolled.cells.base.Cell"),
        ("mgu", {"num_layers": 0}, "num_layers=0: must be an int of at least 1"),
        ("mgu", {"bias": 1}, "bias=1: must be True or False"),
        ("mgu", {"dropout": 1.5}, "dropout=1.5: must be a number from 0 to 1"),
        ("mgu", {"zoneout": 1}, "zoneout=1: must be a number from 0 to below 1"),
        ("mgu", {"zonout": 0.1}, "zonout: MGU has no such argument; did you mean zoneout?"),
        ("rhn", {"dept": 2}, "dept: RHN has no such argument; did you mean depth?"),
        ("mgu", {"proj_size": 4}, "proj_size=4: MGU has no projection; LSTM has one"),
        ("lstm", {"proj_size": 8}, "proj_size=8: must be below hidden_size=8, as in torch.nn"),
        ("lstm", {"proj_size": 4, "projection_size": 5}, "are one thing"),
        ("slstm", {"heads": 3}, "heads=3 does not divide hidden_size=8"),
        ("min_gru", {"candidate": "x"}, "candidate=x: choose linear or positive"),
        ("lstm", {"backend": "scan"}, "backend=scan: LSTM is not linear in its state"),
        ("lru", {"weight_dropout": 0.1}, "weight_dropout=0.1: LRU has no recurrent weights"),
        ("lru", {"bias": False}, "bias=False: LRU has no parameter called bias"),
    ],
)
def test_arguments(cell: Any, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(LayerError) as error:
        unrolled.layer(cell, 3, 8, **arguments)
    assert said in str(error.value)
    assert "model." not in str(error.value)
    assert isinstance(error.value, UnrolledError)
    assert isinstance(error.value, ValueError)


def test_the_nonlinearity() -> None:
    with pytest.raises(LayerError, match="nonlinearity='sine': must be 'tanh' or 'relu'"):
        layers.RNN(3, 8, nonlinearity="sine")


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (torch.randn(5, 2, 4), r"expected the shape [batch, time, 3] or [time, 3] with inp"),
        (torch.randn(5, 2, 4), "got [5, 2, 4]"),
        (torch.randn(3), "got [3]"),
        (torch.randn(0, 2, 3), "there is nothing in it, its shape is [0, 2, 3]"),
        (torch.randn(5, 2, 3).double(), "expected torch.float32, as the parameters are, got tor"),
        (torch.ones(5, 2, 3).long(), "got torch.int64; convert one, by input.to(torch.float32)"),
        ([[1.0, 2.0, 3.0]], "input: expected a tensor or a PackedSequence, got list"),
    ],
)
def test_inputs(x: Any, said: str) -> None:
    with pytest.raises(LayerError) as error:
        layers.LSTM(3, 8, batch_first=True)(x)
    assert str(error.value).startswith("input: ")
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("hx", "said"),
    [
        (torch.zeros(2, 4, 8), "hx: expected a tuple of 2 tensors (h, c), got a tensor of shape"),
        ((torch.zeros(2, 4, 8),), "hx: expected a tuple of 2 tensors (h, c), got a tuple of 1"),
        (
            (torch.zeros(2, 4, 8), torch.zeros(2, 3, 8)),
            "hx[1] (c): expected the shape [2, 4, 8] (layers * directions, batch, size), got "
            "[2, 3, 8]",
        ),
        ((torch.zeros(2, 8), torch.zeros(2, 8)), "hx[0] (h): expected the shape [2, 4, 8]"),
        (
            (torch.zeros(2, 4, 8), torch.zeros(2, 4, 8).double()),
            "hx[1] (c): expected torch.float32, as the parameters are, got torch.float64",
        ),
    ],
)
def test_states(hx: Any, said: str) -> None:
    with pytest.raises(LayerError) as error:
        layers.LSTM(3, 8, bidirectional=True)(torch.randn(5, 4, 3), hx)
    assert said in str(error.value)


def test_a_state_of_one_part_is_a_tensor() -> None:
    layer = layers.GRU(3, 8)
    with pytest.raises(LayerError, match=r"hx: expected one tensor \(h\), got a tuple of 1"):
        layer(torch.randn(5, 4, 3), (torch.zeros(1, 4, 8),))
    with pytest.raises(LayerError, match=r"hx: expected the shape \[1, 8\]"):
        layer(torch.randn(5, 3), torch.zeros(1, 1, 8))


@pytest.mark.parametrize("prefix", ["", "0."])
@pytest.mark.parametrize(
    ("source", "said"),
    [
        (layers.LSTM(3, 8), ["a state_dict of LSTM does not load into MGU(3, 8)", "weight_hn_l0"]),
        (nn.LSTM(3, 8), ["of another cell or another size does not load", "weight_ih_l0 [32, 3]"]),
        (layers.MGU(3, 6), ["weight_hh_l0 [8, 8]", "weight_hh_l0 [6, 6]"]),
        (layers.MGU(3, 8, 2), ["the state_dict has weight_ih_l1 [16, 8]"]),
    ],
)
def test_a_state_dict_of_another_cell(source: Any, said: list[str], prefix: str) -> None:
    layer: nn.Module = layers.MGU(3, 8)
    if prefix:
        source, layer = nn.Sequential(source), nn.Sequential(layer)
    with pytest.raises(RuntimeError) as error:
        layer.load_state_dict(source.state_dict())
    assert all(part in str(error.value) for part in said)
    assert str(error.value).count("\n") == 1


def test_weights_of_another_cell_with_equal_keys_are_loaded_only_where_that_is_meant() -> None:
    source, layer = layers.RnnRelu(3, 8), layers.RnnTanh(3, 8)
    with pytest.raises(RuntimeError, match="a state_dict of RnnRelu has the keys of RnnTanh"):
        layer.load_state_dict(source.state_dict())
    layer.load_state_dict(dict(source.state_dict()))
    tensors: list[tuple[Tensor, Tensor]] = [
        *zip(layer.parameters(), source.parameters(), strict=True)
    ]
    assert all(torch.equal(one, other) for one, other in tensors)
