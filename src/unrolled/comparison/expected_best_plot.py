"""A picture of the best result to be expected of each search against its number of trials."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from unrolled.comparison.expected_best import expected_bests
from unrolled.comparison.metrics import metric_in_words
from unrolled.comparison.searches import Search
from unrolled.figures.style import colour, literal, new_figure, set_scale, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LOG_VALUES = 5.0


def expected_best_plots(searches: Sequence[Search]) -> "dict[str, Figure]":
    """A curve a search with the band of 95 % of the bests; a panel an objective."""
    from matplotlib.ticker import MaxNLocator

    curves = expected_bests(searches)
    if not curves:
        return {}
    objectives = list(dict.fromkeys(search.objectives[0] for search, _ in curves.values()))
    figure = new_figure(1.0 + 6.0 * len(objectives), 4.2)
    for place, objective in enumerate(objectives):
        panel = figure.add_subplot(1, len(objectives), place + 1)
        drawn: list[float] = []
        here = {k: c for k, (search, c) in curves.items() if search.objectives[0] == objective}
        for rank, (name, curve) in enumerate(here.items()):
            panel.plot(curve.trials, curve.mean, color=colour(rank), lw=2, label=literal(name))
            panel.fill_between(
                curve.trials,
                curve.low,
                curve.high,
                color=colour(rank),
                alpha=0.15,
                lw=0,
                step="mid",
            )
            drawn += [*curve.low, *curve.high]
        set_scale(panel, "y", drawn, _LOG_VALUES)
        panel.xaxis.set_major_locator(MaxNLocator(7, integer=True))
        panel.set_xlabel("trials")
        panel.set_ylabel(f"expected best {metric_in_words(objective)}")
        panel.legend(frameon=False, title="mean, and where 95 % of the bests lie", loc="best")
        tidy(panel)
    return {"expected_best.png": figure}
