"""Learning curves: the validation metric over tokens, steps and seconds, a band over seeds."""

import math
from typing import Any

from unrolled.comparison.levels import levels_of, split_levels
from unrolled.comparison.metrics import metric_in_words, number
from unrolled.comparison.page import marks
from unrolled.comparison.page.parts import Chart, Section, Spec
from unrolled.comparison.plots import curve
from unrolled.comparison.results import Comparison
from unrolled.comparison.rows import Row
from unrolled.runs.record import Record, look_up
from unrolled.runs.text import one_line

_POINTS = 80  # of a curve
_LOG = 5.0
_AXES = {"tokens": "training tokens", "step": "training steps", "seconds": "seconds of training"}


def curves(comparison: Comparison) -> Section:
    """A chart an axis; nothing without a history."""
    metric = f"validation/{comparison.metric.partition('/')[2]}"
    rows = comparison.rows[: marks.MOST_ROWS]
    labels = [one_line(row.label) for row in rows]
    points = [point for row in rows for point in _points(row, metric)]
    if len({point["step"] for point in points}) < 2:
        return Section("curves", "")
    values = [float(point[key]) for point in points for key in ("low", "high")]
    near, far = split_levels(levels_of(comparison, metric), values)
    more = len(comparison.rows) - len(rows)
    intro = "A line is the mean of a row's runs, the band reaches from the lowest to the highest."
    if more > 0:
        intro += f" The best {len(rows)} of {len(comparison.rows)} rows."
    charts = []
    for axis, title in _AXES.items():
        if all(axis in point for point in points):
            charts.append(
                Chart(f"over {title}", _chart(metric, axis, title, labels, values, near))
            )
    return Section(
        "curves", "Learning curves", intro + marks.say_levels(far), charts, data={"curves": points}
    )


def _chart(
    metric: str,
    axis: str,
    title: str,
    labels: list[str],
    values: list[float],
    near: dict[str, float],
) -> Spec:
    name = metric_in_words(metric)
    written = ",d" if axis == "step" else "~s"
    x = marks.number(axis, title, {"zero": True}, format=written, tickCount=5)
    y = marks.number("mean", name, marks.scale(values, _LOG))
    shade, dash = marks.colour(labels), marks.dashes(labels)
    said = marks.hover(
        ("row", "row"), (axis, title), ("mean", name), ("low", "lowest"), ("high", "highest"),
        ("runs", "runs"),
    )  # fmt: skip
    shared: Spec = {"data": {"name": "curves"}, "transform": [marks.SHOWN]}
    return marks.chart(
        [
            *marks.band_and_line(shared, x, y, shade, dash),
            *marks.levels(near, "y", values),
            {
                **shared,
                "params": [marks.NEAR],
                "mark": {"type": "circle", "size": 60, "clip": True},
                "encoding": {
                    "x": x, "y": y, "color": shade, "tooltip": said,
                    "opacity": marks.ONLY_NEAR,
                },
            },
        ]
    )  # fmt: skip


def _points(row: Row, metric: str) -> list[dict[str, Any]]:
    """The mean and the range of a row's runs at the steps that all of them have."""
    found = [(run.record, curve(run, metric)) for run in row.runs]
    found = [(record, one) for record, one in found if one[0]]
    if not found:
        return []
    by_step = [
        {step: (seconds, value) for step, seconds, value in zip(*one, strict=True)}
        for _, one in found
    ]
    steps = sorted(set.intersection(*(set(one) for one in by_step)))
    rates = [rate for record, _ in found if (rate := tokens_per_step(record)) is not None]
    points = []
    for place in marks.thinned(len(steps), _POINTS):
        step = steps[place]
        values = [one[step][1] for one in by_step]
        point: dict[str, Any] = {
            "row": one_line(row.label),
            "step": step,
            "seconds": round(sum(one[step][0] for one in by_step) / len(by_step), 4),
            "mean": sum(values) / len(values),
            "low": min(values),
            "high": max(values),
            "runs": len(values),
        }
        if len(rates) == len(found):
            point["tokens"] = round(step * sum(rates) / len(rates))
        points.append(point)
    return points


def tokens_per_step(record: Record) -> float | None:
    """How many tokens a step of training read, on average; None where the record does not say."""
    tokens = number(look_up(record, "timing.tokens"))
    steps = [number(entry.get("step")) for entry in record.history]
    last = max((step for step in steps if step is not None), default=0.0)
    limit = number(look_up(record, "config.trainer.max_steps"))
    # A run that was not stopped early may have gone on for less than an interval of validations.
    if limit is not None and len(steps) > 1 and last < limit < last + last / len(steps):
        last = limit
    if tokens is None or not tokens or not last or not math.isfinite(tokens / last):
        return None
    return tokens / last
