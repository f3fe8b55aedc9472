"""Charts of the figures that runs leave: curves, matrices, forecasts."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from unrolled.comparison.page import marks
from unrolled.comparison.page.parts import Spec
from unrolled.runs.figures import Curve, Figure, Forecast, Matrix
from unrolled.runs.text import one_line

_WRITTEN = 12  # classes whose shares are still written into their fields
_POINTS = 400
_LOG = 20.0

ByRow = Mapping[str, Sequence[Figure]]


def curves_chart(rows: ByRow, labels: Sequence[str]) -> Spec:
    """The mean of each row's curves, and a band from the lowest to the highest.

    Args:
        labels: all rows, whose places are their colours.
    """
    curves = {k: [one for one in of if isinstance(one, Curve)] for k, of in rows.items()}
    first = next(iter(curves.values()))[0]
    points: list[dict[str, Any]] = []
    for label, members in curves.items():
        by_x: dict[float, list[float]] = {}
        for one in members:
            for at, value in zip(one.x, one.y, strict=False):
                if math.isfinite(at) and math.isfinite(value):
                    by_x.setdefault(at, []).append(value)
        places = sorted(by_x)
        for k in marks.thinned(len(places), _POINTS):
            of = by_x[places[k]]
            ends = {"low": min(of), "high": max(of)}
            points.append({"row": label, "x": places[k], "mean": sum(of) / len(of), **ends})
    x_title, y_title = one_line(first.x_title), one_line(first.y_title)
    x = marks.number("x", x_title, marks.scale([p["x"] for p in points], _LOG))
    reached = [float(p[k]) for p in points for k in ("low", "high")]
    y = marks.number("mean", y_title, marks.scale(reached, 100.0))
    shade, dash = marks.colour(labels), marks.dashes(labels)
    said = marks.hover(
        ("row", "row"), ("x", x_title), ("mean", y_title), ("low", "lowest"), ("high", "highest")
    )
    marked = [{"label": one_line(name), "x": place} for name, place in first.marks.items()]
    shared: Spec = {"transform": [marks.SHOWN]}
    layers: list[Spec] = [
        *marks.band_and_line(shared, x, y, shade, dash),
        {
            **shared,
            "mark": {"type": "circle", "size": 40, "clip": True, "opacity": 0.9},
            "encoding": {"x": x, "y": y, "color": shade, "tooltip": said},
        },
    ]  # fmt: skip
    if marked:
        where: Spec = {"x": {"field": "x", "type": "quantitative"}}
        layers += [
            {
                "data": {"values": marked},
                "mark": {"type": "rule", "color": marks.INK, "strokeDash": [2, 3]},
                "encoding": where,
            },
            {
                "data": {"values": marked},
                "mark": {"type": "text", "align": "left", "dx": 4, "color": marks.INK},
                "encoding": {**where, "y": {"value": 8}, "text": {"field": "label"}},
            },
        ]
    return marks.chart(layers, data={"values": points})


def matrix_chart(matrix: Matrix) -> Spec:
    """Each count as a share of its row."""
    counts = np.asarray(matrix.values, dtype=np.float64)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    # Two classes whose names look alike are two classes.
    downs, acrosses = _distinct(matrix.rows), _distinct(matrix.columns)
    values = [
        {"text": downs[i], "label": acrosses[j], "count": counts[i, j], "share": shares[i, j]}
        for i, j in np.ndindex(*shares.shape)
    ]
    rotated = max(map(len, acrosses)) > 3
    x: Spec = {
        "field": "label", "type": "nominal", "sort": acrosses,
        "title": one_line(matrix.column_title),
        "axis": {
            "labelAngle": -45 if rotated else 0, "labelLimit": 90,
            "labelOverlap": len(acrosses) > 2 * _WRITTEN,
        },
    }  # fmt: skip
    y: Spec = {
        "field": "text", "type": "nominal", "sort": downs, "title": one_line(matrix.row_title),
        "axis": {"labelLimit": 100, "labelOverlap": len(downs) > 2 * _WRITTEN},
    }  # fmt: skip
    said = [
        {"field": "text", "title": one_line(matrix.row_title)},
        {"field": "label", "title": one_line(matrix.column_title)},
        {"field": "count", "title": "count", "type": "quantitative", "format": ",.6~g"},
        {"field": "share", "title": "share", "type": "quantitative", "format": ".1%"},
    ]
    layers: list[Spec] = [
        {
            "mark": {"type": "rect", "color": "var(--c0)"},
            "encoding": {
                "x": x, "y": y, "tooltip": said,
                "opacity": {"field": "share", "type": "quantitative", "legend": None,
                            "scale": {"domain": [0, 1], "range": [0.04, 1]}},
            },
        }
    ]  # fmt: skip
    if max(shares.shape) <= _WRITTEN:
        layers.append(
            {
                "mark": {"type": "text", "color": marks.INK, "fontSize": 11},
                "encoding": {
                    "x": x, "y": y,
                    "text": {"field": "share", "type": "quantitative", "format": ".0%"},
                },
            }
        )  # fmt: skip
    height = max(140, min(480, 30 * len(downs)))
    return marks.chart(layers, height=height, data={"values": values})


def forecasts_chart(rows: ByRow, labels: Sequence[str]) -> Spec:
    """The series once, and each row's first forecast of it."""
    of = {k: next(m for m in ms if isinstance(m, Forecast)) for k, ms in rows.items()}
    one = next(iter(of.values()))
    start = len(one.history)

    def at(place: int) -> float:
        return one.first + one.step * place

    def line(label: str, ys: Sequence[float], begin: int) -> list[dict[str, Any]]:
        kept = marks.thinned(len(ys), _POINTS)
        return [{"label": label, "x": at(begin + k), "y": ys[k]} for k in kept]

    known = line("history", one.history, 0)
    whole = [*one.history[-1:], *one.truth]
    truth = line("truth", whole, start - len(one.history[-1:]))
    ahead = [
        {**point, "row": label}
        for label, f in of.items()
        for point in line(label, f.predicted, start)
    ]
    x = marks.number("x", "", {"zero": False, "nice": False}, format=".6~g", tickCount=6)
    y = marks.number("y", one_line(one.title))
    said = marks.hover(("label", "line"), ("x", "at"), ("y", one_line(one.title)))
    ends: Spec = {"x": x, "y": y}
    return marks.chart(
        [
            {
                "data": {"values": known},
                "mark": {"type": "line", "color": "var(--other)", "strokeWidth": 1.5},
                "encoding": ends,
            },
            {
                "data": {"values": truth},
                "mark": {"type": "line", "color": marks.INK, "strokeWidth": 1.8},
                "encoding": ends,
            },
            {
                "data": {"values": ahead},
                "transform": [marks.SHOWN],
                "params": [marks.ZOOM],
                "mark": {"type": "line", "strokeWidth": 1.5},
                "encoding": {**ends, "color": marks.colour(labels)},
            },
            {
                "data": {"values": [*known, *truth, *ahead]},
                "params": [marks.NEAR],
                "mark": {"type": "circle", "size": 60, "color": marks.INK},
                "encoding": {**ends, "tooltip": said, "opacity": marks.ONLY_NEAR},
            },
        ]
    )  # fmt: skip


def _distinct(names: Sequence[str]) -> list[str]:
    shown = [one_line(name) for name in names]
    return [
        name if shown.count(name) == 1 else f"{name} ({place + 1})"
        for place, name in enumerate(shown)
    ]
