"""Each row's figures: a dot a seed or fold, the mean, its interval; and the share of runs that are
at or better than a value."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from unrolled.comparison.grouping import Replicate
from unrolled.comparison.levels import levels_of, split_levels
from unrolled.comparison.metrics import metric_in_words
from unrolled.comparison.page import marks
from unrolled.comparison.page.parts import Chart, Section, Spec
from unrolled.comparison.results import Comparison
from unrolled.comparison.rows import Row
from unrolled.comparison.statistics import Estimate
from unrolled.runs.text import one_line

_LOG = 30.0
_ROW_HEIGHT = 28
_MOST_DOTS = 40  # of a row
# Fewer runs than this make no distribution.
_FEWEST = 3


def quality(comparison: Comparison) -> Section:
    """The two metrics of the comparison, seed by seed."""
    rows = comparison.rows[: marks.MOST_ROWS]
    charts = [
        _dots(comparison, comparison.metric, rows, [(r.value, r.by_replicate) for r in rows])
    ]
    others = [row for row in rows if row.other is not None]
    if others:
        figures = [(r.other, r.other_by_replicate) for r in others if r.other is not None]
        charts.append(_dots(comparison, comparison.other, others, figures))
    return Section("quality", "Quality", charts=charts)


def profile(comparison: Comparison) -> Section:
    """The distribution of each row's runs (Dolan and Moré 2002; Agarwal et al. 2021): their
    figures, or, over several data sets, how many times the best figure of theirs each is."""
    shown = comparison.rows[: marks.MOST_ROWS]
    rows = [row for row in shown if len(row.by_replicate) >= _FEWEST]
    name = metric_in_words(comparison.metric)
    intro = (
        "A curve further up and to the left is of a row more of whose runs are good. Rows of "
        f"fewer than {_FEWEST} runs have none."
    )
    sign = 1 if comparison.about.lower_is_better else -1
    figures = [[*row.by_replicate.values()] for row in rows]
    if comparison.ranking is not None:
        figures, sign = _times_the_best(rows, sign), 1
        name = "times the best figure on the same data"
        intro += " Each figure is divided by the best of its data set, or that by it."
    every = [v for of_row in figures for v in of_row if math.isfinite(v)]
    if not every or comparison.no_headline is not None:
        return Section("profile", "")
    best, worst = (f(every, key=lambda v: sign * v) for f in (min, max))
    values = []
    for row, of_row in zip(rows, figures, strict=True):
        found = sorted(of_row, key=lambda v: sign * v)
        steps = [(v, (k + 1) / len(found)) for k, v in enumerate(found) if math.isfinite(v)]
        kept = [steps[k] for k in marks.thinned(len(steps), 100)]
        ends = [(best, 0.0), *kept, (worst, kept[-1][1] if kept else 0.0)]
        values += [{"row": one_line(row.label), "x": x, "share": share} for x, share in ends]
    labels = [one_line(row.label) for row in shown]
    scale = marks.scale(every, _LOG) | ({} if sign > 0 else {"reverse": True})
    share = marks.number("share", "share of runs at or better", {"domain": [0, 1]}, format=".0%")
    line: Spec = {
        "data": {"values": values},
        "transform": [marks.SHOWN],
        "params": [marks.ZOOM],
        "mark": {"type": "line", "interpolate": "step-after", "strokeWidth": 2},
        "encoding": {
            "x": marks.number("x", name, scale),
            "y": share,
            "color": marks.colour(labels),
            "strokeDash": marks.dashes(labels),
            "tooltip": marks.hover(("row", "row"), ("x", name), ("share", "share")),
        },
    }
    return Section(
        "profile", "Performance profile", intro, [Chart("", marks.chart([line]), wide=True)]
    )


def _times_the_best(rows: Sequence[Row], sign: int) -> list[list[float]]:
    """Each run's figure against the best on its data set, 1 being that one; none where figures
    are not all above 0."""
    best: dict[str, float] = {}
    for row in rows:
        for replicate, value in row.by_replicate.items():
            known = best.get(replicate.data, value)
            best[replicate.data] = min(known, value, key=lambda v: sign * v)
    if any(level <= 0 for level in best.values()):
        return [[] for _ in rows]
    return [
        [
            (value / best[replicate.data]) if sign > 0 else best[replicate.data] / value
            for replicate, value in row.by_replicate.items()
            if value > 0
        ]
        for row in rows
    ]


def _dots(
    comparison: Comparison,
    metric: str,
    rows: Sequence[Row],
    figures: Sequence[tuple[Estimate, Mapping[Replicate, float]]],
) -> Chart:
    labels = [one_line(row.label) for row in comparison.rows[: marks.MOST_ROWS]]
    order = [one_line(row.label) for row in rows]
    dots = [
        dot for row, (_, by) in zip(rows, figures, strict=True) for dot in _replicates(row, by)
    ]
    means = []
    for row, (estimate, _) in zip(rows, figures, strict=True):
        if math.isfinite(estimate.mean):
            ends = {"low": estimate.low, "high": estimate.high}
            means.append({"row": one_line(row.label), "mean": estimate.mean, **ends})
    values = [dot["value"] for dot in dots]
    near, far = split_levels(levels_of(comparison, metric), values)
    name = metric_in_words(metric)
    unit = f"{name} ({comparison.about.unit})" if comparison.about.unit else name
    up: Spec = {
        "field": "row", "type": "nominal", "sort": order, "title": None,
        "scale": {"domain": order}, "axis": {"labelLimit": 150, "ticks": False, "domain": False},
    }  # fmt: skip
    across = marks.number("value", unit, marks.scale(values, _LOG))
    shade = marks.colour(labels)
    said = marks.hover(("row", "row"), ("mean", "mean"), ("low", "95 % from"), ("high", "95 % to"))
    layers: list[Spec] = [
        {
            "data": {"values": means},
            "transform": [marks.SHOWN, {"filter": "isValid(datum.low)"}],
            "mark": {"type": "rule", "strokeWidth": 9, "opacity": 0.3},
            "encoding": {
                "y": up, "x": {**across, "field": "low"}, "x2": {"field": "high"}, "color": shade,
                "tooltip": said,
            },
        },
        {
            "data": {"values": means},
            "transform": [marks.SHOWN],
            "mark": {"type": "tick", "thickness": 3, "size": 20},
            "encoding": {
                "y": up, "x": {**across, "field": "mean"}, "color": shade, "tooltip": said,
            },
        },
        {
            "data": {"values": dots},
            "transform": [marks.SHOWN],
            "params": [marks.ZOOM],
            "mark": {"type": "circle", "size": 45, "opacity": 0.9},
            "encoding": {
                "y": up, "x": across, "color": shade,
                "tooltip": marks.hover(("row", "row"), ("text", "run"), ("value", name)),
            },
        },
        *marks.levels(near, "x", values),
    ]  # fmt: skip
    left = len(comparison.rows) - len(rows)
    infinite = sum(len(by) for _, by in figures) - len(dots)
    more = f" The best {len(rows)} of {len(comparison.rows)} rows." if left > 0 else ""
    if any(len(by) > _MOST_DOTS for _, by in figures):
        more += f" Of more than {_MOST_DOTS} runs a row, as many spread evenly."
    elif infinite:
        more += f" Infinite, and not drawn: {infinite} of the runs."
    return Chart(
        name,
        marks.chart(layers, height=max(110, _ROW_HEIGHT * len(rows))),
        f"A dot is a run, the tick a row's mean, the bar its 95 % interval.{more}"
        f"{marks.say_levels(far)}",
    )


def _replicates(row: Row, by: Mapping[Replicate, float]) -> Iterable[dict[str, Any]]:
    found = sorted(
        ((value, replicate) for replicate, value in by.items() if math.isfinite(value)),
        key=lambda one: one[0],
    )
    for place in marks.thinned(len(found), _MOST_DOTS):
        value, replicate = found[place]
        text = f"seed {replicate.seed}"
        if replicate.fold is not None:
            text += f", fold {replicate.fold}"
        if replicate.data:
            text += f", {one_line(replicate.data)}"
        yield {"row": one_line(row.label), "value": value, "text": text}
