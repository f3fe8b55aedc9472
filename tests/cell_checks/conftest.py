"""Cells of ``conf/cell`` by name."""

from collections.abc import Callable
from functools import partial

import pytest

from unrolled.cells.base import Cell
from unrolled.config.compose import compose_run
from unrolled.models.build import cell_of


@pytest.fixture
def named() -> Callable[[str], Callable[[int, int], Cell]]:
    """A cell of ``conf/cell``, as a function of its input size and hidden size."""

    def make(name: str) -> Callable[[int, int], Cell]:
        cell, options = cell_of(compose_run([f"cell={name}"]).cell)
        return partial(cell, **options)

    return make
