"""Pictures of a comparison: learning curves, and every seed's figure beside its mean."""

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from unrolled.comparison.formats import Figures
from unrolled.comparison.grouping import Run
from unrolled.comparison.levels import levels_of, split_levels
from unrolled.comparison.metrics import metric_in_words, number
from unrolled.comparison.results import Comparison
from unrolled.comparison.rows import Row
from unrolled.comparison.statistics import Estimate
from unrolled.figures.style import (
    COLOURS,
    INK,
    OTHERS,
    colour,
    literal,
    new_figure,
    set_scale,
    tidy,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

# Ratios of the largest to the smallest value from which a log axis reads better.
_LOG_CURVES, _LOG_SEEDS = 5.0, 30.0
_MOST_ROWS = 40
_MOST_LINES = 300  # of single runs: of more one sees none
_DASHES = ((4, 3), (1, 2), (7, 2, 1, 2))

Curve = tuple[list[float], list[float], list[float]]  # steps, seconds, values


def learning_curves(comparison: Comparison) -> "Figure | None":
    """The validation metric against steps and against seconds of training; None without a history.

    A thin line is a run (not where there are hundreds), a thick one the mean of a group's runs, as
    far as all of them go.
    """
    metric = f"validation/{comparison.metric.partition('/')[2]}"
    curves = [[curve(run, metric) for run in row.runs] for row in comparison.rows]
    if not any(len(one[0]) > 1 for group in curves for one in group):
        return None
    single = len(comparison.runs) <= _MOST_LINES
    figure = new_figure(10.0, 4.3)
    panels = [figure.add_subplot(1, 2, 1), figure.add_subplot(1, 2, 2)]
    panels[1].sharey(panels[0])
    for axis, panel in enumerate(panels):
        for rank, group in reversed(list(enumerate(curves))):
            _draw_group(panel, group, axis, colour(rank), last=rank, single=single)
    values = [value for group in curves for one in group for value in one[2]]
    set_scale(panels[0], "y", values, _LOG_CURVES)
    near, far = split_levels(levels_of(comparison, metric), values)
    for panel in panels:
        for level, dashes in zip(near.values(), itertools.cycle(_DASHES), strict=False):
            panel.axhline(level, color=INK, lw=1.1, ls=(0, dashes), zorder=1)
    _say_levels(panels[0], far, values, comparison.about.lower_is_better)
    panels[0].set_xlabel("training steps")
    panels[1].set_xlabel("seconds of training")
    panels[0].set_ylabel(_with_unit(comparison, metric))
    for panel in panels:
        panel.set_xlim(left=0)
        tidy(panel)
    panels[1].tick_params(labelleft=False)
    _legend(figure, comparison, near, single)
    return figure


def seeds(comparison: Comparison) -> "Figure":
    """A line per group: each seed's figure as a dot, the mean and its interval.

    It shows the other split's figures (the test split's, as a rule), or the metric's own where a
    run lacks them, or is a fold. What is infinite has its place in words alone.
    """
    from matplotlib.ticker import MaxNLocator

    # Of folds the metric is that of the examples held out.
    folds = any(row.folds for row in comparison.rows)
    use_other = not folds and all(row.other for row in comparison.rows)
    metric = comparison.other if use_other else comparison.metric
    rows = comparison.rows[:_MOST_ROWS]
    figure = new_figure(8.0, 1.3 + 0.38 * len(rows))
    panel = figure.add_subplot()
    estimates = [(row.other if use_other else row.value) or row.value for row in rows]
    figures = Figures.of(comparison.about, estimates)
    drawn: list[float] = []
    for rank, (row, estimate) in enumerate(zip(rows, estimates, strict=True)):
        every = (row.other_by_replicate if use_other else row.by_replicate).values()
        values = [value for value in every if math.isfinite(value)]
        drawn += values
        shade = colour(rank)
        if estimate.low is not None and estimate.high is not None:
            ends = [estimate.low, estimate.high]
            panel.plot(ends, [rank, rank], color=shade, lw=7, alpha=0.25, solid_capstyle="butt")
        if math.isfinite(estimate.mean):
            panel.plot([estimate.mean], [rank], "|", color=shade, ms=17, mew=2.4, zorder=3)
        panel.scatter(
            values, [rank] * len(values), s=34, color=shade, edgecolors="white", lw=0.8, zorder=4
        )
        panel.annotate(
            _with_interval(estimate, figures),
            (1.015, rank),
            xycoords=("axes fraction", "data"),
            va="center",
            color=INK,
        )
    panel.set_yticks(range(len(rows)), [literal(row.label) for row in rows])
    panel.set_ylim(len(rows) - 0.5, -0.5)
    panel.xaxis.set_major_locator(MaxNLocator(7))
    set_scale(panel, "x", drawn, _LOG_SEEDS)
    near, _ = split_levels(levels_of(comparison, metric), drawn)
    for level, dashes in zip(near.values(), itertools.cycle(_DASHES), strict=False):
        panel.axvline(level, color=INK, lw=1.1, ls=(0, dashes), zorder=1)
    if near:
        lines = _level_lines(near)
        figure.legend(
            list(lines.values()), list(lines), loc="outside upper left", ncols=2, frameon=False
        )
    best = "" if len(rows) == len(comparison.rows) else f"best {len(rows)} rows; "
    panel.set_xlabel(
        f"{_with_unit(comparison, metric)}  ({best}dot: {_a_replicate(rows)}; tick: mean; "
        f"bar: 95 % {_interval(estimates)} interval)"
    )
    tidy(panel)
    panel.grid(axis="y", visible=False)
    return figure


def curve(run: Run, metric: str) -> Curve:
    """Steps, seconds and values of a run's validations that have a finite ``metric``."""
    steps, seconds, values = [], [], []
    for entry in run.record.history:
        step, value = number(entry.get("step")), number(entry.get(metric))
        if step is not None and value is not None and math.isfinite(value):
            steps.append(step)
            seconds.append(number(entry.get("seconds")) or 0.0)
            values.append(value)
    return steps, seconds, values


def mean_curve(curves: Sequence[Curve]) -> Curve:
    """The mean of the curves at the steps that all of them have."""
    points = [
        {step: (second, value) for step, second, value in zip(*one, strict=True)} for one in curves
    ]
    steps = sorted(set.intersection(*(set(one) for one in points))) if points else []
    count = len(points)
    seconds = [sum(one[step][0] for one in points) / count for step in steps]
    values = [sum(one[step][1] for one in points) / count for step in steps]
    return steps, seconds, values


def _draw_group(
    panel: "Axes", group: list[Curve], axis: int, shade: str, last: int, single: bool
) -> None:
    if single:
        # One line with gaps: thousands of lines would take matplotlib seconds.
        across = [x for one in group for x in [*one[axis], math.nan]]
        up = [y for one in group for y in [*one[2], math.nan]]
        panel.plot(across, up, color=shade, lw=0.8, alpha=0.35, zorder=2)
    mean = mean_curve([one for one in group if one[0]])
    panel.plot(mean[axis], mean[2], color=shade, lw=2.0, zorder=3 + 1 / (2 + last))


def _say_levels(
    panel: "Axes", levels: dict[str, float], values: Sequence[float], falling: bool
) -> None:
    """In words, the levels that are out of range, where falling or rising curves leave room."""
    for above in (True, False):
        lines = [
            f"{'↑' if above else '↓'} {literal(name)} {level:.4g}, "
            f"{'above' if above else 'below'} this range"
            for name, level in levels.items()
            if (level > max(values)) == above
        ]
        right = above == falling
        place = (0.985 if right else 0.015, 0.99 if above else 0.01)
        panel.annotate(
            "\n".join(lines), place, xycoords="axes fraction", color=INK,
            ha="right" if right else "left", va="top" if above else "bottom",
        )  # fmt: skip


def _level_lines(levels: dict[str, float]) -> "dict[str, Line2D]":
    """What a legend shows for each level, with a dash pattern of its own."""
    from matplotlib.lines import Line2D

    return {
        f"{literal(name)}  {level:.4g}": Line2D(
            [], [], color=INK, lw=1.1, ls=(0, _DASHES[place % len(_DASHES)])
        )
        for place, (name, level) in enumerate(levels.items())
    }


def _legend(
    figure: "Figure", comparison: Comparison, levels: dict[str, float], single: bool
) -> None:
    from matplotlib.lines import Line2D

    figures = Figures.of(comparison.about, [row.value for row in comparison.rows])
    shown = comparison.rows[: len(COLOURS)]
    handles = [Line2D([], [], color=colour(rank), lw=2.4) for rank in range(len(shown))]
    labels = [_entry(row, figures) for row in shown]
    if len(comparison.rows) > len(shown):
        handles.append(Line2D([], [], color=OTHERS, lw=2.4))
        labels.append(f"{len(comparison.rows) - len(shown)} others")
    for label, line in _level_lines(levels).items():
        handles.append(line)
        labels.append(label)
    longest = max(len(label) for label in labels)
    replicates = "folds" if any(row.folds for row in comparison.rows) else "seeds"
    thin = f"; thin lines are single {replicates}" if single else ""
    figure.legend(
        handles,
        labels,
        loc="outside upper left",
        ncols=max(1, min(len(labels), 120 // (longest + 6))),
        frameon=False,
        title=f"best checkpoint's mean {metric_in_words(comparison.metric)}{thin}",
        alignment="left",
        title_fontsize=10,
        handlelength=1.4,
        columnspacing=1.8,
    )


def _a_replicate(rows: Sequence[Row]) -> str:
    """What a dot stands for."""
    if not any(row.folds for row in rows):
        return "a seed"
    return "a seed and fold" if any(len(row.seeds) > 1 for row in rows) else "a fold"


def _interval(estimates: Sequence[Estimate]) -> str:
    """What the intervals are."""
    kinds = {one.overlap is not None for one in estimates if one.low is not None}
    return "corrected resampled t" if kinds == {True} else "Student's t"


def _entry(row: Row, figures: Figures) -> str:
    return f"{literal(row.label)}  {figures.number(row.value.mean)}"


def _with_interval(estimate: Estimate, figures: Figures) -> str:
    return f"{figures.number(estimate.mean)} {figures.interval(estimate.low, estimate.high)}"


def _with_unit(comparison: Comparison, metric: str) -> str:
    unit = comparison.about.unit
    return f"{metric_in_words(metric)} ({unit})" if unit else metric_in_words(metric)
