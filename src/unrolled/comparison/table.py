"""A comparison on a terminal: wide with intervals below figures, or one line a row."""

import contextlib
import itertools
import textwrap
from collections.abc import Iterator, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from unrolled.comparison.columns import Column
from unrolled.comparison.references import Reference
from unrolled.comparison.results import Comparison
from unrolled.comparison.rows import Row
from unrolled.runs.text import one_line

# With more rows each takes one line, so that a table of all cells fits a screen.
MANY = 8
# Nothing is folded or cut where nobody watches.
_UNBOUNDED = 10_000
# As many characters as a line of a title, of a verdict and of a label needs at most.
_TITLE, _VERDICT, _LABEL = 14, 20, 30


def print_comparison(comparison: Comparison, next_steps: Sequence[str], console: Console) -> None:
    """The table, its notes, the answer, and where to look next."""
    with readable(console):
        console.print(_fitting(comparison, console))
        for note in comparison.notes:
            text = Text(f"{'!' if note.loud else '-'} {one_line(note.text)}")
            console.print(text, style="yellow" if note.loud else "dim")
        console.print()
        console.print(Text(one_line(comparison.answer)), style="bold")
    for step in next_steps:
        console.print(Text(f"  {one_line(step)}"), soft_wrap=True)


@contextlib.contextmanager
def readable(console: Console) -> Iterator[None]:
    """Take all the width that is needed where nobody watches, in a pipe or a file."""
    before = console.width
    if not console.is_terminal:
        console.width = _UNBOUNDED
    try:
        yield
    finally:
        console.width = before


def _fitting(comparison: Comparison, console: Console) -> Table:
    """The form of the table that says most of those that the terminal has room for."""
    shown = [column for column in comparison.columns if not column.detail]
    if not console.is_terminal:
        return line_table(comparison, shown)
    forms = itertools.chain(
        [wide_table(comparison)] if len(comparison.rows) <= MANY else [],
        (line_table(comparison, columns, brief=True) for columns in _fewer(shown)),
    )
    unbounded = console.options.update(width=_UNBOUNDED)
    for table in forms:
        if Measurement.get(console, unbounded, table).maximum <= console.width:
            break
    return table


def _fewer(columns: Sequence[Column]) -> Iterator[list[Column]]:
    """All columns, then without those of the highest rank, and so on."""
    for rank in sorted({column.rank for column in columns}, reverse=True):
        yield [column for column in columns if column.rank <= rank]


def wide_table(comparison: Comparison) -> Table:
    """Intervals below their figures, and the columns of a stack below each other."""
    stacks = [
        list(stack)
        for _, stack in itertools.groupby(
            (column for column in comparison.columns if not column.detail),
            lambda column: column.stack or column.name,
        )
    ]
    table = _empty_table(gap=1)
    for first, *others in stacks:
        titles = [*_wrapped(first.heading), *(c.heading for c in others if not c.is_text)]
        _add_column(table, first, titles)
    for row in _rows(comparison, table):
        table.add_row(*(_stacked(stack, row) for stack in stacks))
    return table


def line_table(comparison: Comparison, columns: Sequence[Column], brief: bool = False) -> Table:
    """One line a row; ``brief`` leaves out intervals and the last digits of counts."""
    table = _empty_table(gap=1 if brief else 2)
    for column in columns:
        title = (column.brief_title if brief else None) or column.heading
        _add_column(table, column, _wrapped(title) if brief else [title])
    for row in _rows(comparison, table):
        cells = (
            column.brief_cell(row) if brief else " ".join(column.cell(row)) for column in columns
        )
        table.add_row(*map(Text, cells))
    return table


def _empty_table(gap: int) -> Table:
    return Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, gap, 0, 0))


def _add_column(table: Table, column: Column, titles: Sequence[str]) -> None:
    # In a terminal too narrow for anything, names are what may be folded.
    is_label = column.name == "label"
    table.add_column(
        Text("\n".join(titles)),
        justify="left" if is_label else "right",
        overflow="fold",
        no_wrap=not is_label,
    )


def _rows(comparison: Comparison, table: Table) -> Iterator[Row | Reference]:
    """The rows, then, below a line, what they are read against."""
    yield from comparison.rows
    table.add_section()
    yield from comparison.references


def _stacked(stack: Sequence[Column], row: Row | Reference) -> Text:
    """The cells of a stack below each other; a dash only where there is nothing else."""
    parts = [
        line
        for column in stack
        for part in column.cell(row)
        for line in (_in_lines(column, part) if column.is_text else [part])
    ]
    return Text("\n".join([part for part in parts if part != "-"] or parts[:1]))


def _in_lines(column: Column, text: str) -> list[str]:
    """Words on lines that do not widen the table; words stay whole."""
    width = _LABEL if column.name == "label" else _VERDICT
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [text]


def _wrapped(title: str) -> list[str]:
    """A title on lines short enough not to widen its column."""
    return textwrap.wrap(title, _TITLE)
