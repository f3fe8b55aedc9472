"""What the objectives of a search trade against one another: its trials, and their front."""

import itertools
import math
from collections.abc import Iterable

from unrolled.comparison.metrics import metric_in_words
from unrolled.comparison.page import marks
from unrolled.comparison.page.parts import Chart, Spec
from unrolled.comparison.page.tradeoffs import pareto_front
from unrolled.comparison.searches import Search
from unrolled.runs.text import one_line

_MOST_TRIALS = 1_000
_LOG = 5.0


def objectives(search: Search) -> Iterable[Chart]:
    """A chart a pair of objectives; trials that no other beats in both are marked."""
    trials = [t for t in search.finished if all(map(math.isfinite, t.values))][:_MOST_TRIALS]
    signs = [1 if lower else -1 for lower in search.lower_is_better]
    for i, j in itertools.combinations(range(len(search.objectives)), 2):
        names = [metric_in_words(one_line(search.objectives[k])) for k in (i, j)]
        points = [(signs[i] * t.values[i], signs[j] * t.values[j]) for t in trials]
        front = set(pareto_front(points))
        values = [
            {
                "label": "front" if place in front else "others",
                "n": trial.number,
                "x": trial.values[i],
                "y": trial.values[j],
            }
            for place, trial in enumerate(trials)
        ]
        title = f"{one_line(search.name)}: {' and '.join(names)}"
        if len(values) > 1:
            yield Chart(title, _chart(values, names), "Front: no other trial is better in both.")


def _chart(values: list[Spec], names: list[str]) -> Spec:
    x, y = (
        marks.number(key, name, marks.scale([v[key] for v in values], _LOG))
        for key, name in zip("xy", names, strict=True)
    )
    shade: Spec = {
        "field": "label", "type": "nominal", "legend": {"orient": "bottom", "title": None},
        "scale": {"domain": ["front", "others"], "range": ["var(--c1)", "var(--other)"]},
    }  # fmt: skip
    said = marks.hover(("n", "trial"), ("x", names[0]), ("y", names[1]))
    mark = {"type": "point", "filled": True, "size": 60, "opacity": 0.9}
    encoding = {"x": x, "y": y, "color": shade, "tooltip": said}
    return marks.chart(
        [{"params": [marks.ZOOM], "mark": mark, "encoding": encoding}], data={"values": values}
    )
