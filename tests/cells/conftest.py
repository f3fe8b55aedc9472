"""A gated cell's parameters, gate by gate, as NumPy arrays for equations written by hand."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
import torch

from unrolled.cells.base import GatedCell, State

Array = npt.NDArray[np.float64]


class Gate(NamedTuple):
    """The part of one gate that reads ``x`` and ``h``: ``W x + b`` and ``U h + c``."""

    W: Array
    U: Array
    b: Array
    c: Array


def gates_of(cell: GatedCell) -> dict[str, Gate]:
    """Each gate's block of the stacked parameters."""
    parts = [
        [block.detach().numpy() for block in parameter.chunk(len(cell.gates))]
        for parameter in (cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh)
    ]
    return {gate: Gate(*(part[i] for part in parts)) for i, gate in enumerate(cell.gates)}


@pytest.fixture
def compare_with_equations() -> Callable[..., None]:
    """A check of one step of a cell type against a function of gates, input and state."""

    def compare(cell_type: type[GatedCell], equations: Callable[..., Any]) -> None:
        torch.manual_seed(3)
        cell = cell_type(4, 5).double()
        x = torch.randn(3, 4, dtype=torch.float64)
        state: State = tuple(torch.randn(3, 5, dtype=torch.float64) for _ in cell_type.state_names)
        with torch.no_grad():
            found = cell.step(cell.project(x), state)
        for row in range(3):
            arguments = [x[row].numpy(), *(part[row].numpy() for part in state)]
            expected = equations(gates_of(cell), *arguments)
            for part, value in zip(found, expected, strict=True):
                np.testing.assert_allclose(part[row].numpy(), value, rtol=0, atol=1e-12)

    return compare
