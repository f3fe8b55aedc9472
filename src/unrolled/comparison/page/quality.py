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
    """The distribution of each row's runs (Dolan and Moré 2002; Agarwal et al. 2021)."""
    rows = [r for r in comparison.rows[: marks.MOST_ROWS] if len(r.by_replicate) >= _FEWEST]
    labels = [one_line(row.label) for row in comparison.rows[: marks.MOST_ROWS]]
    if not rows or comparison.no_headline is not None:
        return Section("profile", "")
    sign = 1 if comparison.about.lower_is_better else -1
    every = [v for row in rows for v in row.by_replicate.values() if math.isfinite(v)]
    if not every:
        return Section("profile", "")
    best, worst = min(every, key=lambda v: sign * v), max(every, key=lambda v: sign * v)
    values = []
    for row in rows:
        found = sorted(row.by_replicate.values(), key=lambda v: sign * v)
        count = len(found)
        steps = [(found[k], (k + 1) / count) for k in range(count) if math.isfinite(found[k])]
        kept = [steps[k] for k in marks.thinned(len(steps), 100)]
        ends = [(best, 0.0), *kept, (worst, kept[-1][1] if kept else 0.0)]
        values += [{"row": one_line(row.label), "x": x, "share": share} for x, share in ends]
    name = metric_in_words(comparison.metric)
    scale = marks.scale(every, _LOG)
    spec = marks.chart(
        [
            {
                "data": {"values": values},
                "transform": [marks.SHOWN],
                "params": [marks.ZOOM],
                "mark": {"type": "line", "interpolate": "step-after", "strokeWidth": 2},
                "encoding": {
                    "x": marks.number(
                        "x", name, {**scale, **({} if sign > 0 else {"reverse": True})}
                    ),
                    "y": marks.number(
                        "share", "share of runs at or better", {"domain": [0, 1]}, format=".0%"
                    ),
                    "color": marks.colour(labels),
                    "strokeDash": marks.dashes(labels),
                    "tooltip": marks.hover(("row", "row"), ("x", name), ("share", "share")),
                },
            }
        ]
    )
    intro = (
        "A curve further up and to the left is of a row more of whose runs are good. Rows of "
        f"fewer than {_FEWEST} runs have none."
    )
    return Section("profile", "Performance profile", intro, [Chart("", spec, wide=True)])


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
