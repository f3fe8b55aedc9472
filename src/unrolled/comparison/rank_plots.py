"""The critical-difference diagram: mean ranks on a line, and bars over what is not told apart."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from unrolled.comparison.ranking import Ranking
from unrolled.figures.style import INK, OTHERS, literal, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def critical_difference(ranking: Ranking | None) -> "Figure | None":
    """Demšar's diagram; None where there are no ranks, or only two rows.

    A bar joins rows whose mean ranks are less than Nemenyi's critical difference apart.
    """
    if ranking is None or ranking.critical_difference is None:
        return None
    ranks, critical = ranking.mean_ranks, ranking.critical_difference
    bars = cliques(ranks, critical)
    count = len(ranks)
    left = (count + 1) // 2
    top = 0.5 * (len(bars) + 1)
    figure = new_figure(8.5, 1.3 + 0.22 * (top + left) / 0.5)
    panel = figure.add_subplot()
    panel.set_axis_off()
    panel.set_xlim(1 - 0.45 * (count - 1), count + 0.45 * (count - 1))
    panel.set_ylim(-top - 0.5 * left - 0.2, 1.7)
    panel.plot([1, count], [0, 0], color=INK, lw=1.2)
    for place in range(1, count + 1):
        panel.plot([place, place], [0, 0.14], color=INK, lw=1.2)
        panel.text(place, 0.22, str(place), ha="center", va="bottom", color=INK)
    panel.plot([1, 1 + critical], [1.0, 1.0], color=INK, lw=1.2, marker="|")
    panel.text(
        1, 1.15, f"critical difference {critical:.2f} (Nemenyi, 5 %)", va="bottom", color=INK
    )
    for place, (low, high) in enumerate(bars):
        height = -0.5 * (place + 1) + 0.15
        panel.plot([low - 0.03, high + 0.03], [height, height], color=INK, lw=4)
    edge = 0.08 * (count - 1)
    for place, (label, mean) in enumerate(ranks.items()):
        on_left = place < left
        row = place if on_left else count - 1 - place
        height = -top - 0.5 * row
        end = 1 - edge if on_left else count + edge
        panel.plot([mean, mean, end], [0, height, height], color=OTHERS, lw=0.9, zorder=0)
        panel.text(
            end,
            height,
            f"{literal(label)}  {mean:.2f} " if on_left else f" {mean:.2f}  {literal(label)}",
            ha="right" if on_left else "left",
            va="center",
            color=INK,
        )
    panel.set_title(
        f"mean rank over {len(ranking.data)} data sets, 1 the best", loc="left", fontsize=11
    )
    return figure


def cliques(ranks: Mapping[str, float], critical: float) -> list[tuple[float, float]]:
    """The longest runs of rows that are less than ``critical`` apart, from best to worst."""
    ordered = sorted(ranks.values())
    found: list[tuple[float, float]] = []
    last = -1
    for start, low in enumerate(ordered):
        end = max(place for place, value in enumerate(ordered) if value - low < critical)
        if end > start and end > last:
            found.append((low, ordered[end]))
            last = end
    return found
