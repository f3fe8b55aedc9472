"""The comparison's table: every column, whatever it is."""

import math
from typing import Any

from unrolled.comparison.columns import Column
from unrolled.comparison.page import marks
from unrolled.comparison.page.parts import Cell, Section, Table
from unrolled.comparison.references import Reference
from unrolled.comparison.results import Comparison
from unrolled.comparison.rows import Row


def table(comparison: Comparison) -> Section:
    """The rows, and below them what they are read against."""
    return Section(
        "table",
        "Table",
        tables=[
            Table(
                [(column.heading, column.is_text) for column in comparison.columns],
                [_line(comparison, row, rank) for rank, row in enumerate(comparison.rows)],
                [_line(comparison, reference) for reference in comparison.references],
            )
        ],
    )


def _line(comparison: Comparison, row: Row | Reference, rank: int | None = None) -> list[Cell]:
    cells = []
    for column in comparison.columns:
        lines = column.cell(row)
        mark = ""
        if column is comparison.columns[0] and rank is not None:
            mark = f"row c{rank % 8}" if rank < marks.MOST_ROWS else "row"
        cells.append(Cell(lines, _order(column, row), mark))
    return cells


def _order(column: Column, row: Row | Reference) -> float | None:
    """What the column is sorted by; infinities last and first, None for words."""
    if isinstance(row, Reference) or column.is_text:
        return None
    value: Any = column.value(row)
    value = getattr(value, "mean", value)
    if isinstance(value, list):
        value = len(value)
    if not isinstance(value, int | float) or isinstance(value, bool) or math.isnan(value):
        return None
    return max(-1e308, min(1e308, float(value)))
