"""Pictures of a comparison: learning curves, and every seed's figure beside its mean.

Figures are made without pyplot, so no global state is left behind and no display is needed.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from unrolled.comparison.formats import decimals_for, number
from unrolled.comparison.grouping import Run
from unrolled.comparison.results import Comparison, Row
from unrolled.comparison.statistics import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 150
# Okabe & Ito's palette, distinguishable with any colour vision, without its yellow (too pale on
# white).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
OTHERS = "#B8B8B8"
_INK = "#333333"
_FAR = 1.35  # a chance level this far beyond the curves would flatten them
_LOG_FROM = (
    5.0  # the ratio of the largest to the smallest value from which a log axis reads better
)

_MOST_ROWS = 40

Curve = tuple[list[float], list[float], list[float]]  # steps, seconds, values


def learning_curves(comparison: Comparison) -> "Figure | None":
    """The validation metric against steps and against seconds of training; None without a history.

    A thin line is a run, a thick one the mean of a group's runs, as far as all of them go.
    """
    metric = f"validation/{comparison.metric.partition('/')[2]}"
    curves = [[curve(run, metric) for run in row.runs] for row in comparison.rows]
    if not any(len(one[0]) > 1 for group in curves for one in group):
        return None
    figure = _figure(10.0, 4.3)
    panels = [figure.add_subplot(1, 2, 1), figure.add_subplot(1, 2, 2)]
    panels[1].sharey(panels[0])
    for axis, panel in enumerate(panels):
        for rank, group in reversed(list(enumerate(curves))):
            _draw_group(panel, group, axis, _colour(rank), last=rank)
    values = [value for group in curves for one in group for value in one[2]]
    _scale(panels[0], values)
    level = _chance_level(comparison, metric)
    _draw_chance(panels, level, values)
    panels[0].set_xlabel("training steps")
    panels[1].set_xlabel("seconds of training")
    panels[0].set_ylabel(_words(metric))
    for panel in panels:
        panel.set_xlim(left=0)
        _tidy(panel)
    panels[1].tick_params(labelleft=False)
    _legend(figure, comparison)
    return figure


def seeds(comparison: Comparison) -> "Figure":
    """A line per group: each seed's figure as a dot, the mean and its interval.

    It shows the other split's figures (the test split's, as a rule), or the metric's own where a
    run lacks them.
    """
    from matplotlib.ticker import MaxNLocator

    use_other = all(row.other for row in comparison.rows)
    metric = comparison.other if use_other else comparison.metric
    rows = comparison.rows[:_MOST_ROWS]
    figure = _figure(8.0, 1.3 + 0.38 * len(rows))
    panel = figure.add_subplot()
    estimates = [(row.other if use_other else row.value) or row.value for row in rows]
    decimals = decimals_for(estimates)
    for rank, (row, estimate) in enumerate(zip(rows, estimates, strict=True)):
        values = list((row.other_by_seed if use_other else row.by_seed).values())
        colour = _colour(rank)
        if estimate.low is not None and estimate.high is not None:
            ends = [estimate.low, estimate.high]
            panel.plot(ends, [rank, rank], color=colour, lw=7, alpha=0.25, solid_capstyle="butt")
        panel.plot([estimate.mean], [rank], "|", color=colour, ms=17, mew=2.4, zorder=3)
        panel.scatter(
            values, [rank] * len(values), s=34, color=colour, edgecolors="white", lw=0.8, zorder=4
        )
        panel.annotate(
            _with_interval(estimate, decimals),
            (1.015, rank),
            xycoords=("axes fraction", "data"),
            va="center",
            color=_INK,
        )
    panel.set_yticks(range(len(rows)), [row.label for row in rows])
    panel.set_ylim(len(rows) - 0.5, -0.5)
    panel.xaxis.set_major_locator(MaxNLocator(7))
    best = "" if len(rows) == len(comparison.rows) else f"best {len(rows)} rows; "
    panel.set_xlabel(
        f"{_words(metric)}  ({best}dot: a seed; tick: mean; bar: 95 % bootstrap interval)"
    )
    _tidy(panel)
    panel.grid(axis="y", visible=False)
    return figure


def curve(run: Run, metric: str) -> Curve:
    """Steps, seconds and values of a run's validations that have a finite ``metric``."""
    steps, seconds, values = [], [], []
    for entry in run.record.history:
        value = entry.get(metric)
        if isinstance(value, int | float) and math.isfinite(value):
            steps.append(float(entry["step"]))
            seconds.append(float(entry.get("seconds") or 0.0))
            values.append(float(value))
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


def _draw_group(panel: "Axes", group: list[Curve], axis: int, colour: str, last: int) -> None:
    # One line with gaps: thousands of lines would take matplotlib seconds.
    across = [x for one in group for x in [*one[axis], math.nan]]
    up = [y for one in group for y in [*one[2], math.nan]]
    panel.plot(across, up, color=colour, lw=0.8, alpha=0.35, zorder=2)
    mean = mean_curve([one for one in group if one[0]])
    panel.plot(mean[axis], mean[2], color=colour, lw=2.0, zorder=3 + 1 / (2 + last))


def _chance_level(comparison: Comparison, metric: str) -> float | None:
    levels = {
        level.value if comparison.metric == metric else level.other for level in comparison.chance
    }
    return levels.pop() if len(levels) == 1 else None


def _draw_chance(panels: Sequence["Axes"], level: float | None, values: list[float]) -> None:
    """A dashed line if it does not flatten the curves; else words in the first panel."""
    if level is None:
        return
    text, height, top = f"unigram {level:.4g}", level, False
    coordinates = ("axes fraction", "data")
    if min(values) / _FAR <= level <= max(values) * _FAR:
        for panel in panels:
            panel.axhline(level, color=_INK, lw=1.1, ls=(0, (4, 3)), zorder=1)
    else:
        top = level > max(values)
        text = f"{'↑' if top else '↓'} {text}, {'above' if top else 'below'} this range"
        height, coordinates = (0.99 if top else 0.01), ("axes fraction", "axes fraction")
    panels[0].annotate(
        text,
        (0.985, height),
        xycoords=coordinates,
        xytext=(0, -3 if top else 3),
        textcoords="offset points",
        ha="right",
        va="top" if top else "bottom",
        color=_INK,
    )


def _scale(panel: "Axes", values: list[float]) -> None:
    """A log axis where the values span much, with labels a person reads."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = min(values), max(values)
    if low > 0 and high / low > _LOG_FROM:
        panel.set_yscale("log")
        dense = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0) if high / low < 30 else (1.0, 2.0, 5.0)
        panel.yaxis.set_major_locator(LogLocator(subs=dense))
        panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        panel.yaxis.set_minor_formatter(NullFormatter())


def _legend(figure: "Figure", comparison: Comparison) -> None:
    from matplotlib.lines import Line2D

    decimals = decimals_for([row.value for row in comparison.rows])
    shown = comparison.rows[: len(COLOURS)]
    handles = [Line2D([], [], color=_colour(rank), lw=2.4) for rank in range(len(shown))]
    labels = [_entry(row, decimals) for row in shown]
    if len(comparison.rows) > len(shown):
        handles.append(Line2D([], [], color=OTHERS, lw=2.4))
        labels.append(f"{len(comparison.rows) - len(shown)} others")
    longest = max(len(label) for label in labels)
    figure.legend(
        handles,
        labels,
        loc="outside upper left",
        ncols=max(1, min(len(labels), 120 // (longest + 6))),
        frameon=False,
        title=f"best checkpoint's mean {_words(comparison.metric)}; thin lines are single seeds",
        alignment="left",
        title_fontsize=10,
        handlelength=1.4,
        columnspacing=1.8,
    )


def _entry(row: Row, decimals: int) -> str:
    return f"{row.label}  {number(row.value.mean, decimals)}"


def _with_interval(estimate: Estimate, decimals: int) -> str:
    mean = number(estimate.mean, decimals)
    if estimate.low is None:
        return mean
    return f"{mean} [{number(estimate.low, decimals)}, {number(estimate.high, decimals)}]"


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _tidy(panel: "Axes") -> None:
    panel.spines[["top", "right"]].set_visible(False)
    panel.spines[["left", "bottom"]].set_color("#999999")
    panel.tick_params(colors=_INK, length=3)
    panel.grid(color="#E6E6E6", lw=0.7)
    panel.set_axisbelow(True)


def _colour(rank: int) -> str:
    return COLOURS[rank] if rank < len(COLOURS) else OTHERS


def _words(metric: str) -> str:
    name = metric.replace("/", " ").replace("_", " ")
    units = {"loss": "nats per token", "bits per character": "bits"}
    unit = units.get(metric.rpartition("/")[2].replace("_", " "))
    return f"{name} ({unit})" if unit and unit != "bits" else name
