"""A cell's parameters as NumPy arrays, gate by gate where it has gates, for equations written by
hand."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
import torch

from unrolled.cells.base import Cell, State
from unrolled.cells.gated import GatedCell

Array = npt.NDArray[np.float64]


class Gate(NamedTuple):
    """The part of one gate that reads ``x`` and ``h``: ``W x + b`` and ``U h + c``."""

    W: Array
    U: Array
    b: Array
    c: Array


def gates_of(cell: GatedCell) -> dict[str, Gate]:
    """Each gate's block of the stacked parameters; ``c`` is zero where there is one bias."""
    no_bias = torch.zeros_like(cell.bias_ih)
    bias_hh = no_bias if cell.bias_hh is None else cell.bias_hh
    parts = [
        [block.detach().numpy() for block in parameter.chunk(len(cell.gates))]
        for parameter in (cell.weight_ih, cell.weight_hh, cell.bias_ih, bias_hh)
    ]
    return {gate: Gate(*(part[i] for part in parts)) for i, gate in enumerate(cell.gates)}


def given(cell: Cell) -> dict[str, Any]:
    """All parameters by their names, and the gates by theirs."""
    named = {name: value.detach().numpy() for name, value in cell.named_parameters()}
    return {**named, **(gates_of(cell) if isinstance(cell, GatedCell) else {})}


@pytest.fixture
def compare_with_equations() -> Callable[..., None]:
    """A check of one step of a cell type against a function of parameters, input and state.

    Every parameter is drawn anew, so that none hides behind a start at zero, one or the identity.
    """

    def compare(cell_type: type[Cell], equations: Callable[..., Any], **options: Any) -> None:
        torch.manual_seed(3)
        cell = cell_type(4, 5, **options).double()
        for parameter in cell.parameters():
            torch.nn.init.normal_(parameter, std=0.7)
        x = torch.randn(3, 4, dtype=torch.float64)
        state: State = tuple(torch.randn_like(part) for part in cell.initial_state(3, x))
        with torch.no_grad():
            found = cell.step(cell.project(x), state)
        for row in range(3):
            arguments = [x[row].numpy(), *(part[row].numpy() for part in state)]
            expected = equations(given(cell), *arguments)
            for part, value in zip(found, expected, strict=True):
                np.testing.assert_allclose(part[row].numpy(), value, rtol=0, atol=1e-12)

    return compare
