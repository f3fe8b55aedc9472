"""The searches that rows are trials of: the best to be expected after n trials, the trials in
order, and their settings side by side."""

import itertools
import json
import math
from collections.abc import Sequence
from typing import Any

from unrolled.comparison.expected_best import expected_bests
from unrolled.comparison.formats import listed
from unrolled.comparison.metrics import metric_in_words
from unrolled.comparison.page import marks
from unrolled.comparison.page.objectives import objectives
from unrolled.comparison.page.parts import Chart, Section, Spec
from unrolled.comparison.page.tuning import tuning
from unrolled.comparison.results import Comparison
from unrolled.comparison.searches import Search, Trial, is_logarithmic
from unrolled.runs.text import one_line

_MOST_TRIALS = 300
_MOST_PARAMETERS = 8
_LOG = 5.0


def expected(comparison: Comparison) -> Section:
    """A curve a search (Dodge et al. 2019); a chart an objective."""
    found = expected_bests(comparison.searches)
    names = [one_line(name) for name in found]
    charts = []
    for objective in dict.fromkeys(search.objectives[0] for search, _ in found.values()):
        values = [
            {"label": one_line(name), "n": n, "mean": mean, "low": low, "high": high}
            for name, (search, curve) in found.items()
            if search.objectives[0] == objective
            for n, mean, low, high in zip(
                curve.trials, curve.mean, curve.low, curve.high, strict=True
            )
        ]
        charts.append(Chart(metric_in_words(objective), _expected(objective, values, names)))
    intro = (
        "The mean of the best of n trials, and the band in which 95 % of the bests lie, were n "
        "trials drawn at random from those made (Dodge et al. 2019, Show your work). A pruned "
        "trial counts with the value at its end. Where a search learnt from its trials, they are "
        "no random draw, and this describes them only."
    )
    return Section("expected", "Expected best result of a search", intro, charts)


def searches(comparison: Comparison) -> Section:
    """The trials of each search, and their settings where it had one objective; where it had
    several, what they trade against one another; a fair study's searches over one another."""
    fair = [search for search in comparison.searches if search.fair and search.trials]
    charts = [*tuning(fair)]
    for search in comparison.searches:
        if charts and search in fair:
            continue
        if len(search.objectives) > 1:
            charts += objectives(search)
        if len(search.objectives) != 1 or len(_drawn(search)) < 2:
            continue
        charts.append(Chart(f"{one_line(search.name)}: its trials in order", _history(search)))
        keys = search.parameters[:_MOST_PARAMETERS]
        if len(keys) > 1:
            others = search.parameters[_MOST_PARAMETERS:]
            left = f" Not drawn: {listed(map(one_line, others))}." if others else ""
            charts.append(
                Chart(
                    f"{one_line(search.name)}: settings of its trials",
                    _parallel(search, keys),
                    "A line is a trial; the stronger, the better. Of hundreds of trials the best "
                    f"{_MOST_TRIALS} are drawn.{left}",
                    wide=len(keys) > 3,
                )
            )
        elif keys:
            charts.append(
                Chart(f"{one_line(search.name)}: {one_line(keys[0])}", _scatter(search, keys[0]))
            )
    return Section("searches", "Searches", charts=charts)


def _drawn(search: Search) -> list[Trial]:
    return [trial for trial in search.trials if math.isfinite(trial.values[0])]


def _expected(objective: str, values: list[dict[str, Any]], names: Sequence[str]) -> Spec:
    name = f"expected best {metric_in_words(objective)}"
    shade: Spec = {
        "field": "label", "type": "nominal",
        "legend": {"orient": "bottom", "title": None, "columns": 1, "labelLimit": 260},
        "scale": {"domain": names, "range": [marks.colour_of(r) for r in range(len(names))]},
    }  # fmt: skip
    x = marks.number("n", "trials", {"zero": False, "nice": False}, tickMinStep=1, format="d")
    y = marks.number(
        "mean", name, marks.scale([v[k] for v in values for k in ("low", "high")], _LOG)
    )
    said = marks.hover(
        ("label", "search"), ("n", "trials"), ("mean", name), ("low", "95 % from"),
        ("high", "95 % to"),
    )  # fmt: skip
    return marks.chart(
        [
            {
                "mark": {"type": "area", "opacity": 0.18, "interpolate": "step"},
                "encoding": {
                    "x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}, "color": shade,
                },
            },
            {
                "params": [marks.ZOOM],
                "mark": {"type": "line", "strokeWidth": 2, "point": {"size": 30}},
                "encoding": {"x": x, "y": y, "color": shade, "tooltip": said},
            },
        ],
        data={"values": values},
    )  # fmt: skip


def _history(search: Search) -> Spec:
    name = metric_in_words(search.objectives[0])
    trials = _drawn(search)
    better = min if search.lower_is_better[0] else max
    finished = [trial for trial in trials if not trial.pruned]
    best = itertools.accumulate((trial.values[0] for trial in finished), better)
    kept = marks.thinned(len(trials), _MOST_TRIALS * 3)
    values = [
        {
            "label": "pruned, at its end" if trials[k].pruned else "finished",
            "n": trials[k].number,
            "value": trials[k].values[0],
        }
        for k in kept
    ]
    so_far = [
        {"n": trial.number, "value": value} for trial, value in zip(finished, best, strict=True)
    ]
    x = marks.number(
        "n", "trial", {"zero": False, "nice": False, "padding": 9}, tickMinStep=1, format="d"
    )
    y = marks.number("value", name, marks.scale([t.values[0] for t in trials], _LOG))
    kinds: Spec = {
        "field": "label", "type": "nominal",
        "legend": {"orient": "bottom", "title": None},
        "scale": {
            "domain": ["finished", "pruned, at its end"], "range": ["var(--c0)", "var(--other)"],
        },
    }  # fmt: skip
    return marks.chart(
        [
            {
                "data": {"values": [so_far[k] for k in marks.thinned(len(so_far), _MOST_TRIALS)]},
                "mark": {"type": "line", "interpolate": "step-after", "color": "var(--c1)"},
                "encoding": {"x": x, "y": y},
            },
            {
                "data": {"values": values},
                "params": [marks.ZOOM],
                "mark": {"type": "point", "filled": True, "size": 55, "opacity": 0.9},
                "encoding": {
                    "x": x, "y": y, "color": kinds,
                    "tooltip": marks.hover(("label", "trial"), ("n", "number"), ("value", name)),
                },
            },
        ]
    )  # fmt: skip


def _scatter(search: Search, key: str) -> Spec:
    name = metric_in_words(search.objectives[0])
    trials = _drawn(search)
    places = [trial.settings.get(key) for trial in trials]
    numeric = _numeric(places)
    values = [
        {"label": _word(place), "x": place if numeric else _word(place), "value": t.values[0]}
        for t, place in zip(trials, places, strict=True)
    ][: 3 * _MOST_TRIALS]
    x: Spec = {"field": "x", "type": "nominal", "title": one_line(key)}
    if numeric:
        numbers = [float(place) for place in places if isinstance(place, int | float)]
        scaled: Spec = {"padding": 9} | (
            {"type": "log"} if is_logarithmic(numbers) else {"zero": False}
        )
        x = marks.number("x", key, scaled)
    encoding = {
        "x": x,
        "y": marks.number("value", name, marks.scale([t.values[0] for t in trials], _LOG)),
        "tooltip": marks.hover(("label", key), ("value", name)),
    }
    mark = {"type": "point", "filled": True, "size": 55, "color": "var(--c0)"}
    layer: Spec = {"mark": mark, "encoding": encoding}
    if numeric:
        layer["params"] = [marks.ZOOM]
    return marks.chart([layer], data={"values": values})


def _parallel(search: Search, keys: Sequence[str]) -> Spec:
    """Parallel coordinates: each setting along an axis of its own from 0 to 1, the result last."""
    sign = 1 if search.lower_is_better[0] else -1
    trials = sorted(_drawn(search), key=lambda trial: sign * trial.values[0])[:_MOST_TRIALS]
    objective = metric_in_words(search.objectives[0])
    axes = [*map(one_line, keys), objective]
    columns = [[trial.settings.get(key) for trial in trials] for key in keys]
    columns.append([trial.values[0] for trial in trials])
    lines, ticks = [], []
    for axis, column in zip(axes, columns, strict=True):
        heights, marked = _heights(column)
        ticks += [{"axis": axis, "height": h, "label": text} for h, text in marked]
        for place, height in enumerate(heights):
            one = {"axis": axis, "height": height, "text": _word(column[place])}
            share = place / max(1, len(trials) - 1)
            lines.append({**one, "n": trials[place].number, "rank": share})
    across: Spec = {
        "field": "axis", "type": "nominal", "sort": axes, "title": None,
        "scale": {"type": "point", "padding": 0.4},
        "axis": {
            "orient": "top", "labelAngle": 0, "labelLimit": 120, "domain": False, "ticks": False,
            "labelOverlap": False,
        },
    }  # fmt: skip
    up: Spec = {
        "field": "height", "type": "quantitative", "axis": None,
        "scale": {"domain": [-0.04, 1.04], "nice": False},
    }  # fmt: skip
    return marks.chart(
        [
            {
                "data": {"values": [{"axis": axis, "low": 0, "high": 1} for axis in axes]},
                "mark": {"type": "rule", "color": marks.INK, "opacity": 0.35},
                "encoding": {"x": across, "y": {**up, "field": "low"}, "y2": {"field": "high"}},
            },
            {
                "data": {"values": lines},
                "mark": {"type": "line", "strokeWidth": 1.6, "color": "var(--c0)"},
                "encoding": {
                    "x": across, "y": up,
                    "detail": {"field": "n", "type": "nominal"},
                    "opacity": {"field": "rank", "type": "quantitative", "legend": None,
                                "scale": {"domain": [0, 1], "range": [1, 0.15]}},
                },
            },
            {
                "data": {"values": lines},
                "mark": {"type": "circle", "size": 40, "color": "var(--c0)"},
                "encoding": {
                    "x": across, "y": up,
                    "tooltip": [
                        {"field": "n", "title": "trial"}, {"field": "axis", "title": "setting"},
                        {"field": "text", "title": "value"},
                    ],
                    "opacity": {"field": "rank", "type": "quantitative", "legend": None,
                                "scale": {"domain": [0, 1], "range": [1, 0.15]}},
                },
            },
            {
                "data": {"values": ticks},
                "mark": {
                    "type": "text", "align": "left", "dx": 5, "color": marks.INK, "limit": 90,
                },
                "encoding": {"x": across, "y": up, "text": {"field": "label"}},
            },
        ]
    )  # fmt: skip


def _heights(column: Sequence[Any]) -> tuple[list[float], list[tuple[float, str]]]:
    """Where each value lies along an axis, and what is written along it."""
    if not _numeric(column):
        names = sorted({_word(value) for value in column})
        last = max(1, len(names) - 1)
        places = {name: place / last for place, name in enumerate(names)}
        return [places[_word(v)] for v in column], [(h, name) for name, h in places.items()]
    numbers = [float(value) for value in column]
    logarithmic = is_logarithmic(numbers)
    scaled = [math.log(v) for v in numbers] if logarithmic else numbers
    low, high = min(scaled), max(scaled)
    width = (high - low) or 1.0
    marked = [(0.0, f"{min(numbers):.3g}")]
    if high > low:
        middle = (low + high) / 2
        marked += [
            (0.5, f"{math.exp(middle) if logarithmic else middle:.3g}"),
            (1.0, f"{max(numbers):.3g}"),
        ]
    return [(v - low) / width for v in scaled], marked


def _numeric(values: Sequence[Any]) -> bool:
    return all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)


def _word(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return one_line(value if isinstance(value, str) else json.dumps(value))
