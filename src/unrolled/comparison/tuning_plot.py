"""The picture of a fair study's searches: what each row reached at each setting tried."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from unrolled.comparison.metrics import metric_in_words
from unrolled.comparison.searches import Search
from unrolled.figures.style import COLOURS, colour, literal, new_figure, set_scale, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# A ratio of the largest to the smallest value from which a log axis reads better.
_LOG = 5.0
_MOST = 3
# Of the space of a choice, what the rows' dots take beside one another.
_WIDTH = 0.6
# So many names fit beside one another.
_IN_ONE_LINE = 4


def tuning(searches: Sequence[Search]) -> "Figure | None":
    """The objective of every trial against each number that all searches varied, a colour a row.

    A line joins the trials of a row. Where several have the same value, it is a choice among few:
    no line, and rows beside one another.

    A dot is a trial that went to its end, a ring one that was given up, at its last validation.
    None where there is no such number.
    """
    fair = [search for search in searches if search.fair and search.trials]
    keys = [key for key in (fair[0].parameters if fair else ()) if _is_number(fair, key)][:_MOST]
    if not keys:
        return None
    figure = new_figure(1.4 + max(6.6, 5.0 * len(keys)), 4.2)
    for place, key in enumerate(keys):
        panel = figure.add_subplot(1, len(keys), place + 1)
        values = []
        choices = _choices(fair, key)
        for rank, search in enumerate(fair):
            shade = colour(rank)
            points = sorted((float(t.settings[key]), t.values[0], t.pruned) for t in search.trials)
            values += [value for _, value, _ in points]
            if choices:
                aside = (rank - (len(fair) - 1) / 2) * _WIDTH / len(fair)
                points = [(choices.index(x) + aside, y, pruned) for x, y, pruned in points]
            else:
                line = [x for x, *_ in points], [y for _, y, _ in points]
                panel.plot(*line, color=shade, lw=0.8, alpha=0.5)
            for pruned, fill in ((True, "none"), (False, shade)):
                chosen = [(x, y) for x, y, was_pruned in points if was_pruned is pruned]
                panel.scatter(
                    [x for x, _ in chosen],
                    [y for _, y in chosen],
                    s=38,
                    facecolors=fill,
                    edgecolors=shade,
                    lw=1.3,
                    zorder=3,
                    label=None if pruned else literal(search.name),
                )
        if choices:
            panel.set_xticks(range(len(choices)), [f"{choice:g}" for choice in choices])
            panel.set_xlim(-0.5, len(choices) - 0.5)
        else:
            tried = [float(t.settings[key]) for s in fair for t in s.trials]
            set_scale(panel, "x", tried, _LOG)
        set_scale(panel, "y", values, _LOG)
        panel.set_xlabel(literal(key))
        if place == 0:
            panel.set_ylabel(f"{metric_in_words(fair[0].objectives[0])} (ring: given up)")
        tidy(panel)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    if len(labels) > (shown := len(COLOURS)):
        # The rest are of one colour, and their names would not fit.
        labels = [*labels[:shown], f"{len(labels) - shown} others"]
    figure.legend(
        handles[: len(labels)],
        labels,
        loc="outside upper left",
        ncols=8 if len(labels) <= _IN_ONE_LINE else 4,
        frameon=False,
    )
    return figure


def _is_number(searches: Sequence[Search], key: str) -> bool:
    values = [trial.settings.get(key) for search in searches for trial in search.trials]
    return all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)


def _choices(searches: Sequence[Search], key: str) -> list[float]:
    """The values of a key that trials of one search share; empty where all are different."""
    tried = [[float(trial.settings[key]) for trial in search.trials] for search in searches]
    if all(len({*values}) == len(values) for values in tried):
        return []
    return sorted({value for values in tried for value in values})
