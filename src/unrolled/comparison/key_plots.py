"""Pictures of a comparison whose rows differ in the cell and in one number, such as a difficulty:
the metric against that number, a line a cell."""

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from unrolled.comparison.grouping import CELL, DATA
from unrolled.comparison.metrics import metric_in_words, value_of
from unrolled.comparison.references import baseline_of
from unrolled.comparison.results import Comparison
from unrolled.comparison.rows import Row
from unrolled.figures.style import INK, colour, literal, new_figure, set_scale, tidy
from unrolled.runs.record import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Ratios of the largest to the smallest value from which a log axis reads better.
_LOG_KEY, _LOG_METRIC = 8.0, 20.0
_DASHES = ((4, 3), (1, 2), (7, 2, 1, 2))
# Every task has it, and it tells apart what an accuracy of 1 or of chance does not.
_LOSS = "loss"

Points = dict[float, list[float]]  # for each value of the key what the seeds have


def key_plots(comparison: Comparison) -> "dict[str, Figure | None]":
    """A picture of the metric against the one number in which rows differ besides the cell, by
    the name of its file; none where there is no such number, or a search chose it.

    A thin dot is a run, a line joins the means over seeds. Baselines are those that each run's own
    record has, since they may depend on the number. It shows the other split's figures (the test
    split's, as a rule), or the metric's own where a run lacks them.
    """
    key = varied_number(comparison)
    if key is None or comparison.searches:
        return {}
    use_other = all(row.other for row in comparison.rows)
    metric = comparison.other if use_other else comparison.metric
    loss = f"{metric.partition('/')[0]}/{_LOSS}"
    metrics = list(dict.fromkeys([metric, loss]))
    short = key.rpartition(".")[2]
    figure = new_figure(1.0 + 4.6 * len(metrics), 4.3)
    panels = [figure.add_subplot(1, len(metrics), place + 1) for place in range(len(metrics))]
    for panel, name in zip(panels, metrics, strict=True):
        _draw(panel, comparison, key, name)
        panel.set_xlabel(literal(short.replace("_", " ")))
        panel.set_ylabel(metric_in_words(name))
        tidy(panel)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper left", ncols=6, frameon=False, handlelength=1.8
    )
    return {f"by_{re.sub(r'[^a-z0-9]+', '_', short.lower())}.png": figure}


def varied_number(comparison: Comparison) -> str | None:
    """The configuration key in which rows differ besides the cell, where it is one, of numbers."""
    others = [
        key
        for key in comparison.keys
        if key not in (CELL, DATA) and len({str(row.values[key]) for row in comparison.rows}) > 1
    ]
    if len(others) != 1:
        return None
    values = [row.values[others[0]] for row in comparison.rows]
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    return others[0] if numbers else None


def points(rows: Sequence[Row], key: str, metric: str) -> dict[str, Points]:
    """For each cell its finite figures by the key's value, cells and values in order."""
    found: dict[str, Points] = {}
    for row in sorted(rows, key=lambda row: (str(row.values.get(CELL, "")), row.values[key])):
        for run in row.runs:
            value = value_of(run.record, metric)
            if value is not None and math.isfinite(value):
                cell = found.setdefault(str(row.values.get(CELL, "")), {})
                cell.setdefault(float(row.values[key]), []).append(value)
    return found


def levels(rows: Sequence[Row], key: str, metric: str) -> dict[str, dict[float, float]]:
    """For each baseline its figure by the key's value."""
    found: dict[str, dict[float, float]] = {}
    for row in sorted(rows, key=lambda row: float(row.values[key])):
        record: Record = row.runs[0].record
        for label in record.description.baselines:
            level = baseline_of(record, label, metric)
            if level is not None and math.isfinite(level):
                found.setdefault(label, {})[float(row.values[key])] = level
    return found


def _draw(panel: "Axes", comparison: Comparison, key: str, metric: str) -> None:
    cells = points(comparison.rows, key, metric)
    for rank, (cell, by_key) in enumerate(cells.items()):
        shade = colour(rank)
        for x, values in by_key.items():
            if len(values) > 1:
                panel.plot([x] * len(values), values, ".", color=shade, ms=4, alpha=0.5)
        means = [sum(values) / len(values) for values in by_key.values()]
        panel.plot([*by_key], means, "o-", color=shade, lw=2, ms=5, label=literal(cell))
    baselines = levels(comparison.rows, key, metric).items()
    for (label, by_value), dashes in zip(baselines, itertools.cycle(_DASHES), strict=False):
        (line,) = panel.plot([*by_value], [*by_value.values()], label=literal(label), zorder=1)
        line.set(color=INK, linewidth=1.1, linestyle=(0, dashes))
    set_scale(panel, "x", [x for by_key in cells.values() for x in by_key], _LOG_KEY)
    set_scale(panel, "y", _all(cells), _LOG_METRIC)


def _all(cells: Mapping[str, Points]) -> list[float]:
    return [v for by_key in cells.values() for values in by_key.values() for v in values]
