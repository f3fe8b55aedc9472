"""The metric against the one number in which rows differ besides the cell, a line a cell."""

from typing import Any

from unrolled.comparison.key_plots import levels, points, varied_number
from unrolled.comparison.metrics import metric_in_words
from unrolled.comparison.page import marks
from unrolled.comparison.page.parts import Chart, Section, Spec
from unrolled.comparison.results import Comparison
from unrolled.runs.text import one_line

_LOG_KEY, _LOG_METRIC = 8.0, 20.0


def by_number(comparison: Comparison) -> Section:
    """A chart a split; nothing where there is no such number, or a search chose it."""
    key = varied_number(comparison)
    if key is None or comparison.searches:
        return Section("number", "")
    charts = [
        Chart(metric_in_words(metric), spec)
        for metric in (comparison.metric, comparison.other)
        if (spec := _chart(comparison, key, metric)) is not None
    ]
    name = one_line(key.rpartition(".")[2]).replace("_", " ")
    intro = "A line joins the means of a cell's runs, the band reaches from the lowest to the "
    return Section("number", f"Against {name}", f"{intro}highest; baselines are dashed.", charts)


def _chart(comparison: Comparison, key: str, metric: str) -> Spec | None:
    found = points(comparison.rows, key, metric)
    values: list[dict[str, Any]] = [
        {
            "label": one_line(cell),
            "x": x,
            "mean": sum(of) / len(of),
            "low": min(of),
            "high": max(of),
        }
        for cell, by_key in found.items()
        for x, of in sorted(by_key.items())
    ]
    if not values:
        return None
    baselines = [
        {"label": one_line(label), "x": x, "mean": level}
        for label, by_key in levels(comparison.rows, key, metric).items()
        for x, level in by_key.items()
    ]
    cells = [one_line(cell) for cell in found]
    name, title = metric_in_words(metric), key.rpartition(".")[2].replace("_", " ")
    x = marks.number("x", title, marks.scale([v["x"] for v in values], _LOG_KEY))
    y = marks.number("mean", name, marks.scale([v["mean"] for v in values], _LOG_METRIC))
    shade: Spec = {
        "field": "label", "type": "nominal",
        "legend": {"orient": "bottom", "title": None, "columns": 3},
        "scale": {"domain": cells, "range": [marks.colour_of(r) for r in range(len(cells))]},
    }  # fmt: skip
    said = marks.hover(
        ("label", "cell"), ("x", title), ("mean", name), ("low", "lowest"), ("high", "highest")
    )
    return marks.chart(
        [
            {
                "mark": {"type": "area", "opacity": 0.18},
                "encoding": {
                    "x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}, "color": shade,
                },
            },
            {
                "data": {"values": baselines},
                "mark": {"type": "line", "color": marks.INK, "strokeDash": [5, 4], "opacity": 0.7},
                "encoding": {"x": x, "y": y, "detail": {"field": "label", "type": "nominal"}},
            },
            {
                "data": {"values": baselines[-1:]},
                "mark": {"type": "text", "align": "right", "dy": 9, "color": marks.INK},
                "encoding": {"x": x, "y": y, "text": {"field": "label"}},
            },
            {
                "params": [marks.ZOOM],
                "mark": {"type": "line", "strokeWidth": 2, "point": {"size": 50}},
                "encoding": {"x": x, "y": y, "color": shade, "tooltip": said},
            },
        ],
        data={"values": values},
    )  # fmt: skip
