"""A fair study's searches over one another: what each row reached at each setting tried."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from unrolled.comparison.metrics import metric_in_words
from unrolled.comparison.page import marks
from unrolled.comparison.page.parts import Chart, Spec
from unrolled.comparison.searches import Search, is_logarithmic
from unrolled.runs.text import one_line

_LOG = 5.0
_MOST = 6


def tuning(searches: Sequence[Search]) -> Iterable[Chart]:
    """A chart for each number that all of these searches varied, a colour a search."""
    for key in searches[0].parameters[:_MOST] if searches else ():
        trials = [
            (one_line(search.name), trial)
            for search in searches
            for trial in search.trials
            if math.isfinite(trial.values[0])
        ]
        places: list[Any] = [trial.settings.get(key) for _, trial in trials]
        if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in places):
            continue
        values = [
            {
                "label": name,
                "text": "given up" if trial.pruned else "finished",
                "x": place,
                "value": trial.values[0],
            }
            for (name, trial), place in zip(trials, places, strict=True)
        ]
        if len({value["x"] for value in values}) > 1:
            yield Chart(
                one_line(key),
                _chart(values, one_line(key), metric_in_words(searches[0].objectives[0])),
                "A dot is a trial; a ring is one that was given up, at its last validation.",
            )


def _chart(values: list[dict[str, Any]], key: str, name: str) -> Spec:
    numbers = [float(value["x"]) for value in values]
    scaled: Spec = {"type": "log", "padding": 9, "nice": False}
    if not is_logarithmic(numbers):
        scaled = {"zero": False, "padding": 9, "nice": False}
    labels = list(dict.fromkeys(value["label"] for value in values))
    shade: Spec = {
        "field": "label", "type": "nominal",
        "legend": {"orient": "bottom", "title": None, "columns": 3, "symbolType": "circle"},
        "scale": {"domain": labels, "range": [marks.colour_of(r) for r in range(len(labels))]},
    }  # fmt: skip
    across = marks.number("x", key, scaled, tickCount=6)
    up = marks.number("value", name, marks.scale([value["value"] for value in values], _LOG))
    given_up = "datum.text === 'given up'"
    return marks.chart(
        [
            {
                "mark": {"type": "line", "strokeWidth": 1, "opacity": 0.4},
                "encoding": {"x": across, "y": up, "color": shade},
            },
            {
                "params": [marks.ZOOM],
                "mark": {"type": "point", "size": 60, "filled": True},
                "encoding": {
                    "x": across,
                    "y": up,
                    "color": shade,
                    "fillOpacity": {"condition": {"test": given_up, "value": 0}, "value": 0.9},
                    "strokeOpacity": {"value": 1},
                    "strokeWidth": {"value": 1.5},
                    "stroke": shade,
                    "tooltip": marks.hover(
                        ("label", "search"), ("text", "trial"), ("x", key), ("value", name)
                    ),
                },
            },
        ],
        data={"values": values},
    )
