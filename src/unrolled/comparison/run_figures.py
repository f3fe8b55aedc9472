"""What the runs measured besides numbers, side by side: confusion matrices, forecasts, curves, and
what ``unrolled diagnose`` has found of them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from unrolled.comparison.grouping import Run
from unrolled.comparison.rows import Row
from unrolled.errors import RunError
from unrolled.figures.draw import draw
from unrolled.runs.diagnostics import read_diagnostics
from unrolled.runs.figures import Curve, Figure, Matrix, from_plain
from unrolled.runs.files import read_number

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture


def run_figures(rows: Sequence[Row]) -> "dict[str, Picture | None]":
    """A picture for each figure that a run's record or its diagnostics have, by the name of its
    file."""
    plain = {run.folder: _plain(run) for row in rows for run in row.runs}
    names = {name for figures in plain.values() for name in figures}
    return {
        f"{re.sub(r'[^a-z0-9]+', '_', name.lower())}.png": draw(
            {
                row.label: [one for run in row.runs for one in figures_of(plain[run.folder], name)]
                for row in rows
            },
            name.replace("_", " ").replace("/", " "),
        )
        for name in sorted(names)
    }


def _plain(run: Run) -> dict[str, Any]:
    """A run's figures by name, as its files have them."""
    try:
        diagnostics = read_diagnostics(run.folder)["figures"]
    except RunError:
        # The page says which file is damaged.
        diagnostics = {}
    return {**run.record.figures, **{f"diagnostics/{n}": f for n, f in diagnostics.items()}}


def figures_of(plain: Mapping[str, Any], name: str) -> list[Figure]:
    """The figure of a name; none where there is none, or one that this version cannot read."""
    try:
        figure = from_plain(plain[name])
        if isinstance(figure, Matrix):
            return [replace(figure, values=[_numbers(row) for row in figure.values])]
        if isinstance(figure, Curve):
            return [replace(figure, x=_numbers(figure.x), y=_numbers(figure.y))]
        truth, predicted = _numbers(figure.truth), _numbers(figure.predicted)
        return [
            replace(figure, history=_numbers(figure.history), truth=truth, predicted=predicted)
        ]
    except (KeyError, TypeError, ValueError):
        return []


def _numbers(values: Iterable[object]) -> list[float]:
    """Numbers from JSON, which has words for infinity and NaN.

    Raises:
        TypeError: there is something else among them.
    """
    found = [read_number(value) for value in values]
    if None in found:
        raise TypeError("not a number")
    return [value for value in found if value is not None]
