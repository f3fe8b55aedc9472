"""What the tests of compiled passes share: a stack of two layers, and all that a pass gives."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from unrolled.kernels import library
from unrolled.recurrence.analytic import passes
from unrolled.recurrence.stack import Recurrence, States

CELLS = ("lstm", "gru", "rnn_tanh", "rnn_relu", "irnn")
Fixture = Callable[..., Any]


def forget_kernels() -> None:
    """As in a new process."""
    for known in (passes._kernels, library.library, library._version):
        known.cache_clear()


@contextmanager
def using_threads(number: int) -> Iterator[None]:
    """PyTorch's number of threads, for a time."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def layer_of(named: Fixture, name: str, size: int = 37) -> Recurrence:
    """Two layers, by default of a width that no vector instruction's is a divisor of."""
    torch.manual_seed(3)
    return Recurrence(named(name), 24, size, layers=2, backend="analytic")


def inputs_of(layer: Recurrence, batch: int = 5) -> tuple[Tensor, States]:
    """Eleven steps, and states to begin with."""
    torch.manual_seed(4)
    x = torch.randn(11, batch, 24, requires_grad=True)
    states = layer.initial_states(batch, x.detach())
    return x, tuple(
        tuple((0.3 * torch.randn_like(part)).requires_grad_() for part in state)
        for state in states
    )


def everything(
    layer: Recurrence,
    x: Tensor,
    states: States,
    lengths: list[int] | None,
    with_gradients: Fixture,
    *,
    half: bool = False,
) -> list[Tensor]:
    """Outputs, final states, and the gradients of all leaves."""
    leaves = [x, *(part for state in states for part in state), *layer.parameters()]
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        y, final = layer(x, states, None if lengths is None else torch.tensor(lengths))
    results: list[Tensor] = with_gradients([y, *(p for state in final for p in state)], leaves)
    return results
