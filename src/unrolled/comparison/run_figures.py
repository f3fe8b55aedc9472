"""What the runs measured besides numbers, side by side: confusion matrices, forecasts, curves."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from unrolled.comparison.rows import Row
from unrolled.figures.draw import draw
from unrolled.runs.figures import Figure, from_plain
from unrolled.runs.record import Record

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture


def run_figures(rows: Sequence[Row]) -> "dict[str, Picture | None]":
    """A picture for each figure that a run's record has, by the name of its file."""
    names = {name for row in rows for run in row.runs for name in run.record.figures}
    return {
        f"{re.sub(r'[^a-z0-9]+', '_', name.lower())}.png": draw(
            {
                row.label: [one for run in row.runs for one in _of(run.record, name)]
                for row in rows
            },
            name.replace("_", " ").replace("/", " "),
        )
        for name in sorted(names)
    }


def _of(record: Record, name: str) -> list[Figure]:
    """A record's figure; none where it has none, or one that this version cannot read."""
    try:
        return [from_plain(record.figures[name])]
    except (KeyError, TypeError):
        return []
