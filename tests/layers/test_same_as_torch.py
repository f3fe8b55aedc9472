"""Layers against ``torch.nn`` with the same weights: outputs, states and gradients."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from unrolled import layers

Fixture = Callable[..., Any]
NAMES = ["lstm", "gru", "rnn_tanh", "rnn_relu"]
LENGTHS = torch.tensor([3, 7, 1, 5])


def same(found: list[Tensor], expected: list[Tensor]) -> None:
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


def state_for(theirs: Any, batch: int) -> Any:
    """A random ``hx`` of the form that PyTorch documents."""
    cells = theirs.num_layers * (2 if theirs.bidirectional else 1)
    sizes = [theirs.proj_size or theirs.hidden_size, theirs.hidden_size]
    h, c = (torch.randn(cells, batch, size, dtype=torch.float64) for size in sizes)
    h.requires_grad_()
    return (h, c.requires_grad_()) if isinstance(theirs, nn.LSTM) else h


@pytest.mark.parametrize("given", [False, True], ids=["from zeros", "from a state"])
@pytest.mark.parametrize("packed", [None, True, False], ids=["equal", "sorted", "unsorted"])
@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"num_layers": 2, "bidirectional": True, "batch_first": True},
        {"num_layers": 2, "bidirectional": True, "bias": False},
    ],
    ids=["one layer", "two layers, both ways", "without biases"],
)
@pytest.mark.parametrize("name", NAMES)
def test_equal_weights_give_equal_results(
    name: str,
    arguments: dict[str, Any],
    packed: bool | None,
    given: bool,
    peers: Fixture,
    flat: Fixture,
    with_gradients: Fixture,
) -> None:
    ours, theirs = peers(name, **arguments)
    first = ours.batch_first
    x = torch.randn(*((4, 7) if first else (7, 4)), 3, dtype=torch.float64, requires_grad=True)
    hx = state_for(theirs, 4) if given else None
    lengths = LENGTHS.sort(descending=True).values if packed else LENGTHS
    results = []
    for module in (ours, theirs):
        sequence: Tensor | PackedSequence = x
        if packed is not None:
            sequence = pack_padded_sequence(x, lengths, first, enforce_sorted=packed)
        found = module(sequence, hx)
        assert isinstance(found[0], type(sequence))
        results.append(
            with_gradients(found, [x, *(flat(hx) if given else []), *module.parameters()])
        )
    same(*results)


@pytest.mark.parametrize("packed", [False, True])
def test_a_projection_is_pytorchs(packed: bool, peers: Fixture, with_gradients: Fixture) -> None:
    ours, theirs = peers("lstm", num_layers=2, bidirectional=True, proj_size=5)
    x = torch.randn(7, 4, 3, dtype=torch.float64, requires_grad=True)
    hx = state_for(theirs, 4)
    results = []
    for module in (ours, theirs):
        sequence = pack_padded_sequence(x, LENGTHS, enforce_sorted=False) if packed else x
        results.append(with_gradients(module(sequence, hx), [x, *hx, *module.parameters()]))
    same(*results)


@pytest.mark.parametrize("name", NAMES)
def test_pytorch_loads_what_a_layer_has(name: str, peers: Fixture) -> None:
    ours, theirs = peers(name, num_layers=2, bidirectional=True)
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.normal_()
    theirs.load_state_dict(ours.state_dict())
    assert [*ours.state_dict()] == [*theirs.state_dict()]
    x = torch.randn(7, 4, 3, dtype=torch.float64)
    torch.testing.assert_close(ours(x)[0], theirs(x)[0], rtol=0, atol=1e-10)
    for one, other in zip(ours.all_weights, theirs.all_weights, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(
    ("ours", "theirs"), [(layers.LSTM, nn.LSTM), (layers.GRU, nn.GRU), (layers.RNN, nn.RNN)]
)
def test_a_seed_gives_the_weights_that_it_gives_pytorch(ours: Any, theirs: Any) -> None:
    torch.manual_seed(4)
    first = ours(3, 8, 2, bidirectional=True)
    torch.manual_seed(4)
    second = theirs(3, 8, 2, bidirectional=True)
    for (name, one), (called, other) in zip(
        first.named_parameters(), second.named_parameters(), strict=True
    ):
        assert name == called
        assert torch.equal(one, other)
    torch.manual_seed(5)
    first.reset_parameters()
    torch.manual_seed(5)
    second.reset_parameters()
    assert all(
        torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True)
    )


def test_positional_arguments_are_in_pytorchs_order() -> None:
    for ours, theirs, more in (
        (layers.LSTM, nn.LSTM, (2, False, True, 0.25, True, 5)),
        (layers.GRU, nn.GRU, (2, False, True, 0.25, True)),
        (layers.RNN, nn.RNN, (2, "relu", False, True, 0.25, True)),
    ):
        one: Any = ours(3, 8, *more)
        other: Any = theirs(3, 8, *more)
        for name in ("num_layers", "bias", "batch_first", "dropout", "bidirectional", "proj_size"):
            assert getattr(one, name) == getattr(other, name), name
        assert getattr(one, "nonlinearity", None) == getattr(other, "nonlinearity", None)


def test_dropout_between_layers_drops_as_many() -> None:
    layer, peer = layers.LSTM(3, 64, 2, dropout=0.5), nn.LSTM(3, 64, 2, dropout=0.5)
    layer.load_state_dict(peer.state_dict())
    x = torch.randn(5, 4, 3)
    assert not torch.equal(layer(x)[0], layer(x)[0])
    torch.testing.assert_close(layer.eval()(x)[0], peer.eval()(x)[0])
    with pytest.warns(UserWarning, match="num_layers=1 has nothing between"):
        layers.LSTM(3, 4, dropout=0.5)
