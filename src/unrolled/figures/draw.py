"""A run's own figures, or those of many runs side by side, as pictures."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from unrolled.figures.style import INK, OTHERS, colour, literal, new_figure, set_scale, tidy
from unrolled.runs.figures import Curve, Figure, Forecast, Matrix

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

# Classes whose counts are still written into their fields.
_WRITTEN = 12
# An axis as long as this has labels that are whole numbers, such as years.
_WHOLE = 8
# Points of a curve that are marked.
_SHOWN = 40
# Panels of a picture beside one another.
_ACROSS = 3


def draw(figures: Mapping[str, Sequence[Figure]], title: str) -> "Picture | None":
    """One picture of the figures of the same name.

    Args:
        figures: for each row (a cell, say) those of its runs, all of one kind.

    Returns:
        None where the kinds differ, or no run has any.
    """
    rows = {label: members for label, members in figures.items() if members}
    kinds = {type(one) for members in rows.values() for one in members}
    if len(kinds) != 1:
        return None
    picture = new_figure(1, 1)
    picture.suptitle(literal(title), x=0.01, ha="left", fontsize=11)
    kind = kinds.pop()
    # A row has one colour in all pictures, whichever rows have a figure.
    colours = {label: colour(rank) for rank, label in enumerate(figures)}
    if kind is Curve:
        _curves(picture, rows, colours)
    elif kind is Matrix:
        _matrices(picture, rows)
    else:
        _forecasts(picture, rows, colours)
    return picture


def _curves(
    picture: "Picture", rows: Mapping[str, Sequence[Figure]], colours: Mapping[str, str]
) -> None:
    """A line a row, its runs' mean, and thin ones for the runs."""
    picture.set_size_inches(8, 4.6)
    panel = picture.subplots()
    tidy(panel)
    first: Curve | None = None
    xs: list[float] = []
    for label, members in rows.items():
        curves = [one for one in members if isinstance(one, Curve)]
        first = first or curves[0]
        by_x: dict[float, list[float]] = {}
        for curve in curves:
            for x, y in zip(curve.x, curve.y, strict=True):
                by_x.setdefault(x, []).append(y)
            if len(curves) > 1:
                panel.plot(curve.x, curve.y, color=colours[label], lw=0.7, alpha=0.45)
        places = sorted(by_x)
        xs += places
        means = [float(np.mean(by_x[x])) for x in places]
        panel.plot(
            places, means, color=colours[label], lw=2, label=literal(label), marker=_marker(places)
        )
    assert first is not None
    for name, x in first.marks.items():
        panel.axvline(x, color=INK, lw=0.9, ls=":")
        panel.annotate(
            f" {literal(name)}", (x, 1), xycoords=("data", "axes fraction"), va="top", color=INK
        )
    set_scale(panel, "x", xs, log_from=20)
    if first.logarithmic:
        # What is zero has no place on it.
        panel.set_yscale("log", nonpositive="mask")
    panel.set_xlabel(literal(first.x_title))
    panel.set_ylabel(literal(first.y_title))
    if len(rows) > 1:
        panel.legend(frameon=False)


def _marker(places: Sequence[float]) -> str:
    """Points of a curve are shown where they are few."""
    return "." if len(places) <= _SHOWN else ""


def _matrices(picture: "Picture", rows: Mapping[str, Sequence[Figure]]) -> None:
    """A panel a row: the runs' counts together, each true class's as a share of it."""
    size = 3.6 if all(len(summed(m).rows) <= _WRITTEN for m in rows.values()) else 4.6
    panels = _panels(picture, len(rows), size)
    for panel, (label, members) in zip(panels, rows.items(), strict=True):
        one = summed(members)
        counts = np.asarray(one.values, dtype=np.float64)
        shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
        panel.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="equal")
        panel.set_title(literal(label) if len(rows) > 1 else "", fontsize=10, loc="left")
        panel.set_xlabel(literal(one.column_title))
        panel.set_ylabel(literal(one.row_title))
        panel.spines[:].set_visible(False)
        if len(one.rows) > 2 * _WRITTEN:
            continue
        names = [_short(name) for name in one.columns]
        long = max(map(len, names)) > 3
        panel.set_xticks(range(len(names)), names, rotation=60 if long else 0)
        panel.set_yticks(range(len(one.rows)), [_short(name) for name in one.rows])
        if len(one.rows) <= _WRITTEN:
            for i, j in np.ndindex(*shares.shape):
                panel.text(
                    j, i, f"{100 * shares[i, j]:.0f}", ha="center", va="center", fontsize=8,
                    color="white" if shares[i, j] > 0.6 else INK,
                )  # fmt: skip


def _forecasts(
    picture: "Picture", rows: Mapping[str, Sequence[Figure]], colours: Mapping[str, str]
) -> None:
    """The series once, and each row's first forecast of it."""
    from matplotlib.ticker import MaxNLocator

    picture.set_size_inches(10, 4.2)
    panel = picture.subplots()
    tidy(panel)
    one = next(m for members in rows.values() for m in members if isinstance(m, Forecast))
    known = one.first + one.step * np.arange(len(one.history))
    ahead = one.first + one.step * (len(one.history) + np.arange(len(one.truth)))
    panel.plot(known, one.history, color=OTHERS, lw=1.2, label="history")
    # From the last known value on, so that the line has no gap.
    whole = np.concatenate([known[-1:], ahead]), [*one.history[-1:], *one.truth]
    panel.plot(*whole, color=INK, lw=1.6, label="truth")
    for label, members in rows.items():
        forecast = members[0]
        assert isinstance(forecast, Forecast)
        name = literal(label) if len(rows) > 1 else "forecast"
        panel.plot(ahead, forecast.predicted, color=colours[label], lw=1.4, label=name)
    panel.axvline(float(ahead[0] - one.step / 2), color=INK, lw=0.8, ls=":")
    panel.set_ylabel(literal(one.title))
    if ahead[-1] - known[0] > _WHOLE:
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    # Above the panel, where it hides nothing.
    panel.legend(frameon=False, ncols=6, loc="lower left", bbox_to_anchor=(0, 1))


def summed(members: Sequence[Figure]) -> Matrix:
    """The counts of several runs together."""
    matrices = [one for one in members if isinstance(one, Matrix)]
    first = matrices[0]
    same = [one for one in matrices if (one.rows, one.columns) == (first.rows, first.columns)]
    total = np.sum([np.asarray(one.values, dtype=np.float64) for one in same], axis=0)
    return Matrix(first.rows, first.columns, total.tolist(), first.row_title, first.column_title)


def _panels(picture: "Picture", count: int, size: float) -> "Sequence[Axes]":
    across = min(count, _ACROSS)
    down = -(-count // across)
    picture.set_size_inches(size * across + 0.6, size * down + 0.5)
    panels: list[Axes] = list(picture.subplots(down, across, squeeze=False).flat)
    for panel in panels[count:]:
        panel.set_visible(False)
    return panels[:count]


def _short(name: str) -> str:
    return literal(name if len(name) <= 16 else f"{name[:15]}…")
