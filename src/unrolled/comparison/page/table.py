"""The comparison's tables: every column, whatever it is, and every pair in words."""

import math
from collections.abc import Sequence
from typing import Any

from unrolled.comparison.columns import Column
from unrolled.comparison.page import marks
from unrolled.comparison.page.parts import Cell, Section, Table
from unrolled.comparison.references import Reference
from unrolled.comparison.results import Comparison
from unrolled.comparison.rows import Row
from unrolled.runs.text import one_line

_MOST_PAIRS = 200


def table(comparison: Comparison) -> Section:
    """The rows, and below them what they are read against."""
    columns = [column for column in comparison.columns if not column.detail]
    return Section(
        "table",
        "Table",
        tables=[
            Table(
                _headings(columns),
                _lines(columns, comparison.rows),
                [_line(columns, reference) for reference in comparison.references],
            )
        ],
    )


def details(comparison: Comparison) -> Section:
    """Each pair of rows in a sentence, and the columns for who looks closer."""
    sentences = [pair.sentence for pair in comparison.pairs]
    if comparison.ranking is not None:
        sentences += [pair.sentence for pair in comparison.ranking.pairs]
    shown = [[Cell([one_line(sentence)])] for sentence in sentences[:_MOST_PAIRS]]
    heading = f"{len(sentences):,} pair{'' if len(sentences) == 1 else 's'}"
    if len(shown) < len(sentences):
        heading = f"the first {_MOST_PAIRS} of {heading}; comparison.json has all"
    tables = [Table([(heading, True)], shown)] if shown else []
    columns = [column for column in comparison.columns if column.detail]
    if columns:
        columns = [comparison.columns[0], *columns]
        tables.append(Table(_headings(columns), _lines(columns, comparison.rows)))
    return Section("details", "In detail", tables=tables)


def _headings(columns: Sequence[Column]) -> list[tuple[str, bool]]:
    return [(column.heading, column.is_text) for column in columns]


def _lines(columns: Sequence[Column], rows: Sequence[Row]) -> list[list[Cell]]:
    return [_line(columns, row, rank) for rank, row in enumerate(rows)]


def _line(columns: Sequence[Column], row: Row | Reference, rank: int | None = None) -> list[Cell]:
    cells = []
    for column in columns:
        lines = column.cell(row)
        mark = ""
        if column is columns[0] and rank is not None:
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
