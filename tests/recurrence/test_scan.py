"""The scan against a naive loop; linear recurrences of thousands of steps in single precision."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from unrolled.recurrence.scan import ParallelScan, ScanMethod, SequentialScan, scan
from unrolled.recurrence.stack import Recurrence
from unrolled.recurrence.steps import Steps

METHODS = [SequentialScan(), ParallelScan()]
LAYOUTS = [[3] * 9, [4, 4, 2, 2, 1, 1, 1], [2]]
Fixture = Callable[..., Any]


def naive(a: Tensor, b: Tensor, initial: Tensor, steps: Steps) -> Tensor:
    state, rows = initial, []
    for a_t, b_t in zip(steps.split(a.expand_as(b)), steps.split(b), strict=True):
        state = a_t * state[: len(b_t)] + b_t
        rows.append(state)
    return torch.cat(rows)


@pytest.mark.parametrize("broadcast", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("sizes", LAYOUTS, ids=str)
@pytest.mark.parametrize("method", METHODS, ids=lambda method: type(method).__name__)
def test_it_is_the_recurrence_with_its_gradients(
    method: ScanMethod,
    sizes: list[int],
    dtype: torch.dtype,
    broadcast: bool,
    with_gradients: Fixture,
    same: Fixture,
) -> None:
    torch.manual_seed(2)
    steps = Steps(sizes)
    a = torch.randn(*([5] if broadcast else [steps.rows, 5]), dtype=dtype)
    a = (a / a.abs() * torch.rand(a.shape, dtype=torch.float64)).requires_grad_()
    b = torch.randn(steps.rows, 5, dtype=dtype, requires_grad=True)
    initial = torch.randn(steps.batch, 5, dtype=dtype, requires_grad=True)

    def measured(states: Tensor) -> list[Tensor]:
        real = torch.view_as_real(states) if states.is_complex() else states
        found: list[Tensor] = with_gradients([real], [a, b, initial])
        return [torch.view_as_real(f) if f.is_complex() else f for f in found]

    same(measured(scan(a, b, initial, steps, method)), measured(naive(a, b, initial, steps)))


@pytest.mark.parametrize("method", METHODS, ids=lambda method: type(method).__name__)
def test_a_vanishing_decay_gives_no_nan(method: ScanMethod) -> None:
    a = torch.zeros(50, 3, requires_grad=True)
    b = torch.randn(50, 3, requires_grad=True)
    states = scan(a, b, torch.ones(1, 3), Steps([1] * 50), method)
    assert torch.equal(states, b)
    states.sum().backward()
    assert a.grad is not None
    assert torch.isfinite(a.grad).all()


@pytest.mark.parametrize("name", ["min_gru", "min_lstm", "sru", "qrnn", "lru"])
def test_four_thousand_steps_in_single_precision(
    name: str, named: Fixture, loop: Fixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(3)
    layer = Recurrence(named(name), 8, 16, backend="scan")
    cell = layer.cells[0]
    # Memories of a few hundred steps.
    cell.set_forget_bias(5.0)  # type: ignore[operator]
    exact = Recurrence(named(name), 8, 16, backend="eager").double()
    exact.load_state_dict(layer.state_dict())
    x = torch.randn(4096, 2, 8)
    weights = torch.randn(4096, 2, 16)

    def gradients(y: Tensor, of: Recurrence) -> list[Tensor]:
        found = torch.autograd.grad((y * weights).sum(), list(of.parameters()))
        return [y.detach(), *found]

    looped = gradients(loop(cell, x, layer.initial_states(2, x)[0])[0], layer)
    doubles = x.double()
    true = gradients(loop(exact.cells[0], doubles, exact.initial_states(2, doubles)[0])[0], exact)
    for method in METHODS:
        monkeypatch.setattr(
            "unrolled.recurrence.layer.scan",
            lambda a, b, initial, steps, method=method: scan(a, b, initial, steps, method),
        )
        for one, other, right in zip(gradients(layer(x)[0], layer), looped, true, strict=True):
            error, of_loop = float((one - right).abs().max()), float((other - right).abs().max())
            # No worse than the loop's own rounding, up to the order of a sum.
            assert error <= 3 * of_loop + 1e-6 * float(right.abs().max())
