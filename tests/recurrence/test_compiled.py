"""Compiled chunks are the loop; compiling takes seconds, so a few telling cells stand for all."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from unrolled.recurrence.compiled import CHUNK, missing
from unrolled.recurrence.dropout import RecurrentRegularization
from unrolled.recurrence.stack import Recurrence

Fixture = Callable[..., Any]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        missing(torch.device("cpu")) is not None, reason="there is no C++ compiler"
    ),
]


@pytest.fixture
def chunk(monkeypatch: pytest.MonkeyPatch) -> int:
    """A chunk of three steps: what compiling takes grows with them."""
    monkeypatch.setattr("unrolled.recurrence.compiled.CHUNK", 3)
    return 3


def both(make: Any, dtype: torch.dtype, **options: Any) -> tuple[Recurrence, Recurrence]:
    torch.manual_seed(1)
    compiled = Recurrence(make, 3, 8, backend="compiled", **options).to(dtype)
    with torch.no_grad():
        for parameter in compiled.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    eager = Recurrence(make, 3, 8, backend="eager", **options).to(dtype)
    eager.load_state_dict(compiled.state_dict())
    return compiled, eager


# Stacked gates; two products a step, one of them of a changed state; several states; blocks and
# an output of its own; a state from a window.
@pytest.mark.parametrize("name", ["lstm", "gru_reset_before", "slstm", "sru"])
def test_compiled_chunks_are_the_loop(
    name: str, chunk: int, named: Fixture, with_gradients: Fixture, same: Fixture
) -> None:
    compiled, eager = both(named(name), torch.float64)
    # Two chunks and a rest; the second call takes what the first has compiled.
    x = torch.randn(2 * chunk + 2, 4, 3, dtype=torch.float64, requires_grad=True)
    for _ in range(2):
        results = []
        for layer in (compiled, eager):
            y, (final,) = layer(x)
            results.append(with_gradients([y, *final], [x, *layer.parameters()]))
        same(*results)


def test_compiled_chunks_round_as_the_loop_does(named: Fixture) -> None:
    compiled, eager = both(named("gru_layernorm"), torch.float32)
    x = torch.randn(CHUNK, 4, 3)
    weights = torch.randn(CHUNK, 4, 8)
    results = []
    for layer in (compiled, eager):
        y, _ = layer(x)
        results.append([y, *torch.autograd.grad((y * weights).sum(), list(layer.parameters()))])
    found, expected = results
    for one, other in zip(found, expected, strict=True):
        scale = float(other.detach().abs().max())
        assert float((one - other).detach().abs().max()) < 1e-5 * scale


def test_compiled_chunks_with_unequal_lengths_zoneout_and_dropped_weights(
    chunk: int, named: Fixture, with_gradients: Fixture, same: Fixture
) -> None:
    regularization = RecurrentRegularization(weight_dropout=0.3, zoneout=0.2)
    compiled, eager = both(named("mgu"), torch.float64, regularization=regularization)
    lengths = torch.tensor([chunk + 2, 2 * chunk + 3, chunk + 2])
    x = torch.randn(2 * chunk + 3, 3, 3, dtype=torch.float64, requires_grad=True)
    results: list[list[Tensor]] = []
    for layer in (compiled, eager):
        torch.manual_seed(2)
        y, (final,) = layer(x, lengths=lengths)
        results.append(with_gradients([y, *final], [x, *layer.parameters()]))
    same(*results)
