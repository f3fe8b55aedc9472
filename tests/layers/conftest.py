"""What the tests of layers share: pairs of a layer and PyTorch's own with the same weights."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from unrolled import layers

PEERS: dict[str, tuple[type[nn.Module], type[layers.RecurrentLayer], dict[str, Any]]] = {
    "lstm": (nn.LSTM, layers.LSTM, {}),
    "gru": (nn.GRU, layers.GRU, {}),
    "rnn_tanh": (nn.RNN, layers.RNN, {}),
    "rnn_relu": (nn.RNN, layers.RNN, {"nonlinearity": "relu"}),
}


@pytest.fixture
def peers() -> Callable[..., tuple[layers.RecurrentLayer, nn.Module]]:
    """Ours and PyTorch's in double precision; ours has loaded the ``state_dict`` of PyTorch's."""

    def make(name: str, **arguments: Any) -> tuple[layers.RecurrentLayer, nn.Module]:
        peer, own, extra = PEERS[name]
        torch.manual_seed(1)
        theirs = peer(3, 8, dtype=torch.float64, **extra, **arguments)
        ours = own(3, 8, dtype=torch.float64, **extra, **arguments)
        ours.load_state_dict(theirs.state_dict())
        return ours, theirs

    return make


@pytest.fixture
def flat() -> Callable[[Any], list[Tensor]]:
    """The tensors of an output or a state, whatever form it has."""

    def flatten(found: Any) -> list[Tensor]:
        if isinstance(found, Tensor):
            return [found]
        if isinstance(found, nn.utils.rnn.PackedSequence):
            return [found.data]
        return [tensor for part in found for tensor in flatten(part)]

    return flatten


@pytest.fixture
def with_gradients(flat: Callable[[Any], list[Tensor]]) -> Callable[..., list[Tensor]]:
    """Results, and the gradients of a sum in which every number has a weight of its own."""

    def measure(results: Any, leaves: list[Tensor]) -> list[Tensor]:
        generator = torch.Generator().manual_seed(13)
        found = flat(results)
        total = torch.stack(
            [
                (part * torch.randn(part.shape, generator=generator).to(part)).sum()
                for part in found
            ]
        ).sum()
        return [*found, *torch.autograd.grad(total, leaves, materialize_grads=True)]

    return measure
