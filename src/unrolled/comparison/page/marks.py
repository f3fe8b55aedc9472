"""What all charts have in common: colours of rows, scales, axes, hover, zoom.

A chart names a row by its place among the rows shown (field ``row``); colours are variables of the
page's style sheet, so that a chart need not be drawn again when the page turns dark. Names of
fields and expressions are constants of this package: text of a record is data, never code.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

from unrolled.comparison.page.parts import Spec
from unrolled.runs.text import one_line

MOST_ROWS = 24
_COLOURS = 8
_DASHES = ([1, 0], [6, 3], [2, 2])
_HEIGHT = 300
_PADDING = 9  # pixels, so that no mark is cut at the edge
# What the page's legend turns off.
HIDDEN: Spec = {"name": "hidden", "value": []}
SHOWN: Spec = {"filter": "indexof(hidden, datum.row) < 0"}
# The wheel scrolls the page; with Ctrl, which is also what a touchpad's pinch sends, it zooms.
ZOOM: Spec = {
    "name": "zoom",
    "select": {"type": "interval", "zoom": "wheel![event.ctrlKey || event.metaKey]"},
    "bind": "scales",
}
# The point nearest to the pointer, and the opacity of a mark that is seen there only.
NEAR: Spec = {
    "name": "near",
    "select": {
        "type": "point", "on": "pointermove", "nearest": True, "clear": "pointerout",
        "toggle": False,
    },
}  # fmt: skip
ONLY_NEAR: Spec = {"condition": {"param": "near", "empty": False, "value": 1}, "value": 0}
INK = "currentColor"


def colour_of(rank: int) -> str:
    """The colour of a row by its place, and grey for those beyond the ones shown."""
    return f"var(--c{rank % _COLOURS})" if rank < MOST_ROWS else "var(--other)"


def dash_of(rank: int) -> list[int]:
    """Its line's dashes, which tell apart rows of the same colour."""
    return _DASHES[min(rank // _COLOURS, len(_DASHES) - 1)]


def colour(labels: Sequence[str]) -> Spec:
    """The encoding of a row's colour."""
    return _by_row(labels, colour_of)


def dashes(labels: Sequence[str]) -> Spec:
    """The encoding of a row's dashes."""
    return _by_row(labels, dash_of)


def _by_row(labels: Sequence[str], of: Callable[[int], Any]) -> Spec:
    return {
        "field": "row",
        "type": "nominal",
        "legend": None,
        "scale": {"domain": list(labels), "range": [of(rank) for rank in range(len(labels))]},
    }


def band_and_line(shared: Spec, x: Spec, y: Spec, shade: Spec, dash: Spec) -> list[Spec]:
    """A line a row, and a band around it from the fields ``low`` to ``high``."""
    return [
        {
            **shared,
            "mark": {"type": "area", "opacity": 0.18},
            "encoding": {
                "x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}, "color": shade,
            },
        },
        {
            **shared,
            "params": [ZOOM],
            "mark": {"type": "line", "strokeWidth": 2, "clip": True},
            "encoding": {"x": x, "y": y, "color": shade, "strokeDash": dash},
        },
    ]  # fmt: skip


def scale(values: Sequence[float], log_from: float = 5.0, zero: bool = False) -> Spec:
    """A logarithmic scale where the largest value is more than ``log_from`` times the smallest."""
    low, high = min(values, default=0.0), max(values, default=0.0)
    if low > 0 and high > log_from * low:
        return {"type": "log", "nice": False, "padding": _PADDING}
    return {"zero": True} if zero else {"zero": False, "nice": False, "padding": _PADDING}


def number(name: str, title: str, scaled: Spec | None = None, **axis: Any) -> Spec:
    """The encoding of a number along an axis."""
    return {
        "field": name,
        "type": "quantitative",
        "title": one_line(title),
        "scale": {"zero": False} if scaled is None else scaled,
        "axis": {"labelOverlap": True, "labelSeparation": 6, **axis},
    }


def hover(*fields: tuple[str, str]) -> list[Spec]:
    """What a mark says when it is pointed at: its fields, and their titles."""
    return [{"field": name, "title": one_line(title), **_kind(name)} for name, title in fields]


def _kind(name: str) -> Spec:
    if name in ("row", "text", "run", "label"):
        return {"type": "nominal"}
    return {"type": "quantitative", "format": ",.5~g"}


def chart(layers: Sequence[Spec], height: int = _HEIGHT, **more: Any) -> Spec:
    """One view as wide as its place, whose layers lie over one another."""
    return {
        "width": "container",
        "height": height,
        "autosize": {"type": "fit-x", "contains": "padding"},
        "params": [HIDDEN],
        "layer": list(layers),
        **more,
    }


def levels(near: dict[str, float], along: str, values: Sequence[float] = ()) -> list[Spec]:
    """A dashed line for each level, with its name, which leans towards the middle of what is
    drawn; below one another where lines stand upright."""
    if not near:
        return []
    every = [*values, *near.values()]
    middle = (min(every) + max(every)) / 2
    rows: list[Spec] = [{"label": one_line(name), "level": value} for name, value in near.items()]
    where: Spec = {along: {"field": "level", "type": "quantitative"}}
    said: Spec = {"tooltip": hover(("label", "reference"), ("level", "value"))}
    return [
        {
            "data": {"values": rows},
            "mark": {"type": "rule", "color": INK, "strokeDash": [5, 4], "opacity": 0.7},
            "encoding": {**where, **said},
        },
        *(
            {
                "data": {"values": [row]},
                "mark": {
                    "type": "text", "color": INK, "limit": 150,
                    **_leaning(along, row["level"] > middle),
                },
                "encoding": {
                    **where, "text": {"field": "label"},
                    **({"x": {"value": 4}} if along == "y" else {"y": {"value": 8 + 13 * place}}),
                },
            }
            for place, row in enumerate(rows)
        ),
    ]  # fmt: skip


def _leaning(along: str, beyond: bool) -> Spec:
    if along == "y":
        return {"align": "left", "dy": 8 if beyond else -6}
    return {"align": "right", "dx": -4} if beyond else {"align": "left", "dx": 4}


def say_levels(far: dict[str, float]) -> str:
    """The levels that are out of range, in words."""
    if not far:
        return ""
    said = ", ".join(f"{one_line(name)} {value:.4g}" for name, value in far.items())
    return f" Out of this range: {said}."


def thinned(count: int, most: int) -> list[int]:
    """The places of at most so many of so many points, evenly, the first and the last included."""
    if count <= most:
        return list(range(count))
    return sorted({round(k * (count - 1) / (most - 1)) for k in range(most)})


def finite(value: float | None) -> bool:
    """Whether there is a number that can be drawn."""
    return value is not None and math.isfinite(value)
