"""Quality against what it costs, with the rows that no other beats in both."""

import math
from collections.abc import Sequence
from typing import Any

from unrolled.comparison.formats import short
from unrolled.comparison.metrics import metric_in_words
from unrolled.comparison.page import marks
from unrolled.comparison.page.parts import Chart, Section, Spec
from unrolled.comparison.results import Comparison
from unrolled.runs.text import one_line

COSTS = {
    "model.parameters": "parameters",
    "model.flops_per_token": "FLOPs per token",
    "timing.seconds": "seconds of training",
}
_LOG = 8.0
_SAME = 1.05  # a ratio up to which costs say nothing
_MOST_ROWS = 500


def tradeoffs(comparison: Comparison) -> Section:
    """A chart a cost in which rows differ; nothing where no row may be called the best."""
    if len(comparison.rows) < 2 or comparison.no_headline is not None:
        return Section("costs", "")
    charts, same, data = [], [], {}
    for path, title in COSTS.items():
        points = _points(comparison, path)
        costs = [point["cost"] for point in points]
        if len(points) < 2 or min(costs) <= 0:
            continue
        if max(costs) <= _SAME * min(costs):
            same.append(f"{title} ({short(costs[0])})")
        else:
            name = f"by {title}"
            data[name] = points
            charts.append(Chart(f"against {title}", _chart(comparison, title, name, points)))
    intro = "The line joins the Pareto front: rows that no other row beats in both."
    if same:
        intro += f" The rows are alike (within 5 %) in {' and '.join(same)}: no chart of that."
    return Section("costs", "Quality against cost", intro if charts else "", charts, data=data)


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """The places of the points that no other point equals or beats in both, less being better.

    Args:
        points: a cost and a loss each.
    """
    order = sorted(range(len(points)), key=lambda place: points[place])
    front, best = [], math.inf
    for place in order:
        if points[place][1] < best:
            best = points[place][1]
            front.append(place)
    return front


def _points(comparison: Comparison, path: str) -> list[dict[str, Any]]:
    sign = 1 if comparison.about.lower_is_better else -1
    points: list[dict[str, Any]] = []
    for row in comparison.rows[:_MOST_ROWS]:
        cost = row.mean_of(path)
        if cost is not None and math.isfinite(row.value.mean):
            ends = {"low": row.value.low, "high": row.value.high}
            label = one_line(row.label)
            points.append({"row": label, "cost": cost, "mean": row.value.mean, **ends})
    for place in pareto_front([(p["cost"], sign * p["mean"]) for p in points]):
        points[place]["front"] = True
    return points


def _chart(comparison: Comparison, title: str, data: str, points: list[dict[str, Any]]) -> Spec:
    name = metric_in_words(comparison.metric)
    labels = [one_line(row.label) for row in comparison.rows]
    shade = marks.colour(labels)
    costs = [point["cost"] for point in points]
    x = marks.number("cost", title, marks.scale(costs, _LOG), format="~s", tickCount=5)
    y = marks.number("mean", name, marks.scale([point["mean"] for point in points]))
    said = marks.hover(
        ("row", "row"), ("cost", title), ("mean", name), ("low", "95 % from"), ("high", "95 % to")
    )
    shared: Spec = {"data": {"name": data}}
    front: Spec = {"filter": "datum.front === true"}
    on_front: Spec = {"test": "datum.front === true"}
    # Names lean towards the middle, where there is room for them.
    middle = math.sqrt(min(costs) * max(costs)) if "type" in x["scale"] else _middle(costs)
    names: list[Spec] = [
        {
            **shared,
            "transform": [marks.SHOWN, front, {"filter": f"datum.cost {sign} {middle!r}"}],
            "mark": {
                "type": "text", "align": align, "dx": dx, "dy": -9, "color": marks.INK,
                "limit": 120,
            },
            "encoding": {"x": x, "y": y, "text": {"field": "row"}},
        }
        for sign, align, dx in (("<=", "left", 7), (">", "right", -7))
    ]  # fmt: skip
    return marks.chart(
        [
            {
                **shared,
                "transform": [marks.SHOWN, front],
                "mark": {
                    "type": "line", "interpolate": "step-after", "color": marks.INK,
                    "opacity": 0.5, "strokeDash": [3, 3],
                },
                "encoding": {"x": x, "y": y},
            },
            {
                **shared,
                "transform": [marks.SHOWN, {"filter": "isValid(datum.low)"}],
                "mark": {"type": "rule", "opacity": 0.6},
                "encoding": {
                    "x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}, "color": shade,
                },
            },
            {
                **shared,
                "transform": [marks.SHOWN],
                "params": [marks.ZOOM],
                "mark": {"type": "point", "filled": True, "size": 80, "opacity": 1},
                "encoding": {
                    "x": x, "y": y, "color": shade, "tooltip": said,
                    "shape": {"condition": {**on_front, "value": "diamond"}, "value": "circle"},
                    "size": {"condition": {**on_front, "value": 150}, "value": 60},
                },
            },
            *names,
        ]
    )  # fmt: skip


def _middle(values: Sequence[float]) -> float:
    return (min(values) + max(values)) / 2
