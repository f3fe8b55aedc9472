"""What the tests of the engine share: cells by name, the loop that defines a layer, gradients."""

from collections.abc import Callable, Sequence
from functools import cache, partial

import pytest
import torch
from torch import Tensor

from unrolled.cells.base import Cell, State
from unrolled.config.compose import compose_run
from unrolled.models.build import cell_of

Make = Callable[[int, int], Cell]
Results = list[Tensor]


@cache
def make_of(name: str) -> Make:
    cell, options = cell_of(compose_run([f"cell={name}"]).cell)
    return partial(cell, **options)


@pytest.fixture
def named() -> Callable[[str], Make]:
    """A cell of ``conf/cell``, as a function of its input size and hidden size."""
    return make_of


@pytest.fixture
def loop() -> Callable[[Cell, Tensor, State], tuple[Tensor, State]]:
    """The definition of a layer: a projection, a step and an output at a time.

    The state has the inputs before the start as its last part, where the cell reads a window.
    """

    def run(cell: Cell, x: Tensor, state: State) -> tuple[Tensor, State]:
        past: list[Tensor] = []
        if cell.window > 1:
            *parts, before = state
            state = tuple(parts)
            past = list(before.split(cell.input_size, -1))
        outputs = []
        for now in x:
            window = [now, *past]
            z = cell.project(torch.cat(window, -1))
            state = cell.step(z, state)
            outputs.append(cell.output(z, state))
            past = window[: cell.window - 1]
        return torch.stack(outputs), (*state, *([torch.cat(past, -1)] if past else []))

    return run


@pytest.fixture
def with_gradients() -> Callable[[Results, Sequence[Tensor]], Results]:
    """Results, and the gradients of a sum in which every number has a weight of its own."""

    def measure(results: Results, leaves: Sequence[Tensor]) -> Results:
        generator = torch.Generator().manual_seed(13)
        weighted = [
            (part * torch.randn(part.shape, generator=generator).to(part)).sum()
            for part in results
        ]
        found = torch.autograd.grad(torch.stack(weighted).sum(), leaves, materialize_grads=True)
        return [*results, *found]

    return measure


@pytest.fixture
def same() -> Callable[[Results, Results], None]:
    """That two lists of double precision tensors agree to 1e-10, and are finite."""

    def compare(found: Results, expected: Results) -> None:
        for one, other in zip(found, expected, strict=True):
            assert torch.isfinite(one).all()
            torch.testing.assert_close(one, other, rtol=0, atol=1e-10)

    return compare
