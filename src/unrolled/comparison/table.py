"""A comparison for the terminal (within 100 columns) and as Markdown; both show the same cells."""

import contextlib
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from unrolled.comparison.formats import (
    decimals_for,
    duration,
    interval,
    number,
    p_value,
    short,
    signed,
    whole,
)
from unrolled.comparison.results import Comparison, Row
from unrolled.comparison.statistics import NO_DIFFERENCE, Estimate

WIDTH = 100
# With more rows each takes one line, so that a table of all cells fits a screen.
MANY = 8


@dataclass(frozen=True)
class Cells:
    """One line of the table; a pair is a figure and what qualifies it."""

    label: str
    seeds: str
    value: tuple[str, str]
    other: tuple[str, str]
    difference: tuple[str, str]
    verdict: str
    parameters: str
    flops: str
    state: str
    seconds: str
    speed: str


def header(comparison: Comparison) -> Cells:
    """The columns' names."""
    return Cells(
        label="cell" if comparison.keys == ["cell.name"] else "runs",
        seeds="seeds",
        value=_split(comparison.metric),
        other=_split(comparison.other),
        difference=("difference", f"to {comparison.baseline}"),
        verdict="verdict",
        parameters="params",
        flops="FLOPs",
        state="state",
        seconds="seconds",
        speed="tokens/s",
    )


def lines(comparison: Comparison) -> list[Cells]:
    """The rows, best first, and the chance levels below them."""
    decimals = decimals_for([row.value for row in comparison.rows])
    found = [_line(row, decimals) for row in comparison.rows]
    for level in comparison.chance:
        value, other = number(level.value, decimals), number(level.other, decimals)
        found.append(
            Cells(level.label, "-", (value, ""), (other, ""), ("", ""), "chance", *[""] * 5)
        )
    return found


def print_comparison(comparison: Comparison, console: Console) -> None:
    """The table, its notes, the answer, and where to look next."""
    with readable(console):
        console.print(_fitting(comparison, console))
        for note in comparison.notes:
            text = Text(f"{'!' if note.loud else '-'} {note.text}")
            console.print(text, style="yellow" if note.loud else "dim")
        console.print()
        console.print(Text(comparison.answer), style="bold")
    for step in comparison.next_steps:
        console.print(Text(f"  {step}"), soft_wrap=True)


def _fitting(comparison: Comparison, console: Console) -> Table:
    """The first form of the table that the terminal has room for."""
    long: list[Callable[[Comparison], Table]] = [terminal_table, narrow_table]
    brief: list[Callable[[Comparison], Table]] = [short_table, brief_table]
    forms = brief if len(comparison.rows) > MANY else [*long, brief_table]
    unbounded = console.options.update(width=10 * WIDTH)
    tables = (form(comparison) for form in forms)
    fitting = (
        t for t in tables if Measurement.get(console, unbounded, t).maximum <= console.width
    )
    return next(fitting, brief_table(comparison))


@contextlib.contextmanager
def readable(console: Console) -> Iterator[None]:
    """At least 100 columns where nobody watches: for a pipe or a log rich assumes 80."""
    before = console.width
    if not console.is_terminal:
        console.width = max(before, WIDTH)
    try:
        yield
    finally:
        console.width = before


def terminal_table(comparison: Comparison, narrow: bool = False) -> Table:
    """The table for rich: figures on one line, their intervals below; ``narrow`` stacks more."""
    head = header(comparison)
    rows = lines(comparison)
    gap = 0 if narrow else 1
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, gap, 0, 0))
    # A label may break between its words, not within them.
    longest = max(len(word) for line in rows for word in line.label.split(" "))
    table.add_column(head.label, overflow="fold", min_width=min(longest, 30))
    for name in (
        head.seeds,
        _stacked(head.value),
        _stacked(head.other),
        _stacked(head.difference),
        "\n".join((head.parameters, head.flops, head.state)),
        "\n".join((head.seconds, head.speed)),
    ):
        table.add_column(Text(name), justify="right", overflow="fold")
    for index, line in enumerate(rows):
        if index == len(comparison.rows):
            table.add_section()
        table.add_row(
            Text(line.label),
            line.seeds,
            _lines(line.value),
            _lines(line.other),
            _difference(line, narrow),
            _lines((line.parameters, *(size for size in (line.flops, line.state) if size != "-"))),
            _lines((line.seconds, line.speed)),
        )
    return table


def narrow_table(comparison: Comparison) -> Table:
    """The table for few columns."""
    return terminal_table(comparison, narrow=True)


def short_table(comparison: Comparison, brief: bool = False) -> Table:
    """The table with one line a row; ``brief`` has fewer columns. The files have all figures."""
    head, rows = header(comparison), lines(comparison)
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 0, 0, 0))
    table.add_column(head.label, overflow="fold")
    other = [] if brief else [_stacked(head.other)]
    speed = [] if brief else [head.seconds, "tok/s"]
    sizes = [head.parameters, head.flops, head.state]
    for name in (_stacked(head.value), *other, "diff.", head.verdict, *sizes, *speed):
        table.add_column(Text(name), justify="right", no_wrap=True)
    for line, row in zip(rows, comparison.rows, strict=False):
        claim = line.verdict.rpartition(": ")[2]
        if claim.startswith(NO_DIFFERENCE):
            claim = NO_DIFFERENCE
        other = [] if brief else [line.other[0]]
        speed = [] if brief else [line.seconds, short(row.tokens_per_second)]
        sizes = [short(row.parameters), line.flops, line.state]
        figures = (line.value[0], *other, line.difference[0], claim, *sizes, *speed)
        table.add_row(Text(line.label), *figures)
    table.add_section()
    for line in rows[len(comparison.rows) :]:
        other = [] if brief else [line.other[0]]
        table.add_row(Text(line.label), line.value[0], *other, "", line.verdict)
    return table


def brief_table(comparison: Comparison) -> Table:
    """The table with one line a row, for few columns."""
    return short_table(comparison, brief=True)


def _difference(line: Cells, narrow: bool) -> Text:
    if narrow:
        return _lines((*line.difference, *textwrap.wrap(line.verdict, 16)))
    joined = " ".join(filter(None, line.difference))
    return _lines((joined, *textwrap.wrap(line.verdict, 22)))


def _lines(parts: tuple[str, ...]) -> Text:
    return Text("\n".join(filter(None, parts)))


def markdown(comparison: Comparison, pictures: list[str]) -> str:
    """The same table, notes and answer as Markdown, with the pictures of these names below."""
    head = header(comparison)
    title = _escaped(_title(comparison))
    parts = [f"# {title}", "", _escaped(comparison.answer), "", _markdown_line(head)]
    parts.append("| --- | ---: | ---: | ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: |")
    parts.extend(_markdown_line(line) for line in lines(comparison))
    parts.append("")
    parts.extend(
        f"- **{_escaped(note.text)}**" if note.loud else f"- {_escaped(note.text)}"
        for note in comparison.notes
    )
    for name in pictures:
        alternative = name.removesuffix(".png").replace("_", " ")
        parts.extend(["", f"![{alternative}]({name})"])
    return "\n".join(parts) + "\n"


def _line(row: Row, decimals: int) -> Cells:
    difference, verdict = ("", ""), "baseline"
    if row.difference is not None:
        verdict = row.difference.verdict
        if row.difference.mean is not None:
            bounds = ""
            if row.difference.low is not None and row.difference.high is not None:
                low, high = row.difference.low, row.difference.high
                bounds = interval(low, high, decimals)
            difference = (signed(row.difference.mean, decimals), bounds)
        if row.difference.p_corrected is not None:
            verdict = f"{verdict}, {p_value(row.difference.p_corrected)}"
    return Cells(
        label=row.label,
        seeds=str(row.value.seeds),
        value=_estimate(row.value, decimals),
        other=_estimate(row.other, decimals),
        difference=difference,
        verdict=verdict,
        parameters=whole(row.parameters),
        flops=short(row.flops_per_token),
        state=short(row.state_size),
        seconds=duration(row.seconds),
        speed=whole(row.tokens_per_second),
    )


def _estimate(estimate: Estimate | None, decimals: int) -> tuple[str, str]:
    if estimate is None:
        return ("-", "")
    return (number(estimate.mean, decimals), interval(estimate.low, estimate.high, decimals))


def _split(metric: str) -> tuple[str, str]:
    split, _, name = metric.partition("/")
    return (split, name.replace("_", " "))


def _stacked(words: tuple[str, str]) -> str:
    """A column's name on lines short enough not to widen it."""
    return "\n".join([words[0], *textwrap.wrap(words[1], 14)])


def _title(comparison: Comparison) -> str:
    names = ", ".join(folder.name or str(folder) for folder in comparison.folders)
    return f"Comparison of {names} by {comparison.metric}"


def _markdown_line(line: Cells) -> str:
    cells = [
        line.label,
        line.seeds,
        *(" ".join(filter(None, pair)) for pair in (line.value, line.other, line.difference)),
        line.verdict,
        line.parameters,
        line.flops,
        line.state,
        line.seconds,
        line.speed,
    ]
    return f"| {' | '.join(_escaped(cell) for cell in cells)} |"


def _escaped(text: str) -> str:
    """Text that Markdown takes literally where names often surprise it."""
    for mark in "|*_<":
        text = text.replace(mark, f"\\{mark}")
    return text
