"""The compiled passes round as the written-out ones do, and lose nothing that those keep."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from unrolled.recurrence import analytic
from unrolled.recurrence.analytic.kernels import compiler
from unrolled.recurrence.stack import Recurrence, States

pytestmark = pytest.mark.skipif(compiler() is None, reason="no C compiler, or no AVX2")

CELLS = ("lstm", "gru", "rnn_tanh", "rnn_relu", "irnn")
LENGTHS = (None, [11, 7, 3, 3, 1], [11, 11, 11, 11, 4])
Fixture = Callable[..., Any]


def without_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analytic, "kernel_for", lambda cell: None)


def layer_of(named: Fixture, name: str) -> Recurrence:
    # Widths that no vector instruction's is a divisor of.
    torch.manual_seed(3)
    return Recurrence(named(name), 24, 37, layers=2, backend="analytic")


def inputs_of(layer: Recurrence) -> tuple[Tensor, States]:
    torch.manual_seed(4)
    x = torch.randn(11, 5, 24, requires_grad=True)
    states = layer.initial_states(5, x.detach())
    return x, tuple(
        tuple((0.3 * torch.randn_like(part)).requires_grad_() for part in state)
        for state in states
    )


def everything(
    layer: Recurrence, lengths: list[int] | None, with_gradients: Fixture, *, half: bool
) -> list[Tensor]:
    """Outputs, final states, and the gradients of all leaves."""
    x, states = inputs_of(layer)
    leaves = [x, *(part for state in states for part in state), *layer.parameters()]
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        y, final = layer(x, states, None if lengths is None else torch.tensor(lengths))
    results: list[Tensor] = with_gradients([y, *(p for state in final for p in state)], leaves)
    return results


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("name", CELLS)
def test_as_far_from_the_truth_as_without_kernels(
    name: str,
    lengths: list[int] | None,
    named: Fixture,
    with_gradients: Fixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    layer = layer_of(named, name)
    truth = everything(layer, lengths, with_gradients, half=False)
    fused = everything(layer, lengths, with_gradients, half=True)
    without_kernels(monkeypatch)
    plain = everything(layer, lengths, with_gradients, half=True)
    assert any(not torch.equal(one, other) for one, other in zip(fused, plain, strict=True))
    for one, other, true in zip(fused, plain, truth, strict=True):
        assert one.dtype == other.dtype
        scale = float(true.detach().norm())
        allowed = 1.5 * float((other - true).detach().norm()) + 2**-9 * scale
        assert float((one - true).detach().norm()) <= allowed


def test_other_types_run_by_pytorchs_operations(
    named: Fixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = layer_of(named, "lstm")
    x, states = inputs_of(layer)
    monkeypatch.setattr(analytic, "bf16_steps", None)  # a call would fail
    assert layer(x, states)[0].dtype == torch.float32
    assert layer.double()(x.double())[0].dtype == torch.float64
    with torch.autocast("cpu", torch.float16):
        assert layer.float()(x, states)[0].isfinite().all()
