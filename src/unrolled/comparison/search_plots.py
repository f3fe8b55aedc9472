"""Pictures of a search: how it came along, what mattered, and what several objectives trade."""

import importlib.util
import itertools
import json
import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from unrolled.comparison.metrics import metric_in_words
from unrolled.comparison.searches import Search, Trial, is_logarithmic
from unrolled.figures.style import COLOURS, INK, OTHERS, literal, new_figure, set_scale, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from optuna.distributions import BaseDistribution

# Parameters that differ in fewer trials say nothing of what matters.
_FEWEST = 4
# The ratio of the largest to the smallest value from which a log axis reads better.
_LOG_VALUES = 5.0
_MOST_PARAMETERS = 9
_ACROSS = 3


def search_figures(searches: Sequence[Search]) -> "dict[str, Figure]":
    """The pictures of each search, by file name; a fair study's searches are drawn together."""
    searches = [search for search in searches if not search.fair]
    return {
        f"search{place if len(searches) > 1 else ''}_{kind}.png": figure
        for place, search in enumerate(searches, start=1)
        for kind, figure in _figures(search).items()
    }


def _figures(search: Search) -> "dict[str, Figure]":
    done = [trial for trial in search.finished if all(map(math.isfinite, trial.values))]
    if len(done) < 2:
        return {}
    if len(search.objectives) > 1:
        return {"pareto_front": pareto_front(search, done)}
    figures = {"history": history(search)}
    if search.parameters:
        figures["parameters"] = values_by_parameter(search)
    if len(done) >= _FEWEST and (weights := importances(search, done)):
        figures["importance"] = importance(search, weights)
    return figures


def history(search: Search) -> "Figure":
    """The value of each trial in order, the best so far, and the pruned ones."""
    figure = new_figure(8.0, 4.0)
    panel = figure.add_subplot()
    _draw_trials(panel, search, [float(trial.number) for trial in search.trials])
    better = min if search.lower_is_better[0] else max
    finished = [trial for trial in search.finished if math.isfinite(trial.values[0])]
    best = list(itertools.accumulate((trial.values[0] for trial in finished), better))
    numbers = [trial.number for trial in finished]
    panel.step(
        [*numbers, search.trials[-1].number],
        [*best, best[-1]],
        where="post",
        color=COLOURS[1],
        lw=1.8,
        label=f"best so far: {best[-1]:.4g}",
    )
    panel.set_xlabel("trial")
    panel.set_ylabel(metric_in_words(search.objectives[0]))
    _legend(figure, panel)
    return figure


def values_by_parameter(search: Search) -> "Figure":
    """The value of each trial against each parameter that was varied."""
    from matplotlib.ticker import MaxNLocator

    keys = search.parameters[:_MOST_PARAMETERS]
    across = min(len(keys), _ACROSS)
    down = math.ceil(len(keys) / across)
    figure = new_figure(1.2 + 3.4 * across, 0.8 + 2.9 * down)
    panels: list[Axes] = []
    for place, key in enumerate(keys):
        panel = figure.add_subplot(down, across, place + 1, sharey=panels[0] if panels else None)
        panels.append(panel)
        values: list[Any] = [trial.settings.get(key) for trial in search.trials]
        if _numeric(values):
            across_values = [float(value) for value in values]
            if is_logarithmic(across_values):
                set_scale(panel, "x", across_values, log_from=1.0)
            elif all(isinstance(value, int) for value in values):
                panel.xaxis.set_major_locator(MaxNLocator(7, integer=True))
        else:
            names = list(dict.fromkeys(_words(value) for value in values))
            across_values = [float(names.index(_words(value))) for value in values]
            panel.set_xticks(range(len(names)), [literal(name) for name in names])
            panel.set_xlim(-0.5, len(names) - 0.5)
        _draw_trials(panel, search, across_values)
        panel.set_xlabel(literal(key))
        if place % across == 0:
            panel.set_ylabel(metric_in_words(search.objectives[0]))
        else:
            panel.tick_params(labelleft=False)
    _legend(figure, panels[0])
    return figure


def importances(search: Search, done: Sequence[Trial]) -> dict[str, float]:
    """How much of the difference between good trials and the others each parameter accounts for;
    nothing without Optuna.

    The method is PED-ANOVA (Watanabe et al. 2023), Optuna's one that needs no scikit-learn.
    """
    if importlib.util.find_spec("optuna") is None or not search.parameters:
        return {}
    import optuna

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        space = {key: _distribution(done, key) for key in search.parameters}
        study = optuna.create_study(
            direction="minimize" if search.lower_is_better[0] else "maximize"
        )
        for trial in done:
            params = {
                key: float(trial.settings[key])
                if isinstance(space[key], optuna.distributions.FloatDistribution)
                else _words(trial.settings.get(key))
                for key in space
            }
            study.add_trial(
                optuna.trial.create_trial(
                    params=params, distributions=space, value=trial.values[0]
                )
            )
        found = optuna.importance.get_param_importances(
            study, evaluator=optuna.importance.PedAnovaImportanceEvaluator()
        )
    optuna.logging.set_verbosity(verbosity)
    return dict(found)


def importance(search: Search, weights: dict[str, float]) -> "Figure":
    """A bar for each parameter."""
    names = sorted(weights, key=weights.__getitem__, reverse=True)
    figure = new_figure(8.0, 1.2 + 0.4 * len(names))
    panel = figure.add_subplot()
    panel.barh(range(len(names)), [weights[name] for name in names], color=COLOURS[0], height=0.6)
    for place, name in enumerate(names):
        text = f"{weights[name]:.2f}"
        panel.annotate(
            text, (weights[name], place), xytext=(4, 0), textcoords="offset points", va="center",
            color=INK,
        )  # fmt: skip
    panel.set_yticks(range(len(names)), [literal(name) for name in names])
    panel.set_ylim(len(names) - 0.5, -0.5)
    panel.set_xlim(0, 1.08 * max(*weights.values(), 0.01))
    panel.set_xlabel(f"importance for {metric_in_words(search.objectives[0])} (PED-ANOVA)")
    tidy(panel)
    panel.grid(axis="y", visible=False)
    return figure


def pareto_front(search: Search, done: Sequence[Trial]) -> "Figure":
    """Every pair of objectives: the trials that no other beats in all of them, and the others."""
    pairs = list(itertools.combinations(range(len(search.objectives)), 2))
    figure = new_figure(1.0 + 5.5 * len(pairs), 4.5)
    front = _front(search, done)
    for place, (x, y) in enumerate(pairs):
        panel = figure.add_subplot(1, len(pairs), place + 1)
        set_scale(panel, "x", [trial.values[x] for trial in done], _LOG_VALUES)
        set_scale(panel, "y", [trial.values[y] for trial in done], _LOG_VALUES)
        others = [trial for trial in done if trial not in front]
        for trials, colour, label in ((others, OTHERS, "others"), (front, COLOURS[1], "front")):
            panel.scatter(
                [trial.values[x] for trial in trials],
                [trial.values[y] for trial in trials],
                s=34, color=colour, edgecolors="white", lw=0.8, label=f"{label} ({len(trials)})",
            )  # fmt: skip
        for trial in front:
            panel.annotate(
                str(trial.number), (trial.values[x], trial.values[y]), xytext=(5, 4),
                textcoords="offset points", fontsize=8, color=INK,
            )  # fmt: skip
        panel.set_xlabel(metric_in_words(search.objectives[x]))
        panel.set_ylabel(metric_in_words(search.objectives[y]))
        tidy(panel)
    figure.legend(
        *figure.axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=2,
        frameon=False, title=f"{len(done)} trials; a number names a trial of the front",
        alignment="left",
    )  # fmt: skip
    return figure


def _front(search: Search, done: Sequence[Trial]) -> list[Trial]:
    """The trials that no other one beats in something and equals in the rest."""

    def costs(trial: Trial) -> list[float]:
        lower = search.lower_is_better
        return [v if low else -v for v, low in zip(trial.values, lower, strict=True)]

    def beaten(one: list[float], other: list[float]) -> bool:
        return one != other and all(b <= a for a, b in zip(one, other, strict=True))

    every = [costs(trial) for trial in done]
    front = [
        t for t, own in zip(done, every, strict=True) if not any(beaten(own, o) for o in every)
    ]
    return sorted(front, key=lambda trial: trial.values)


def _draw_trials(panel: "Axes", search: Search, across: Sequence[float]) -> None:
    """Dots for finished trials, hollow triangles for the last validation of pruned ones."""
    kinds: dict[str, tuple[bool, dict[str, Any]]] = {
        "a finished trial": (False, {"marker": "o", "s": 34, "color": COLOURS[0]}),
        "a pruned trial, at its end": (
            True,
            {"marker": "v", "s": 26, "facecolors": "none", "edgecolors": "#888888"},
        ),
    }
    for label, (pruned, style) in kinds.items():
        points = [
            (x, trial.values[0])
            for x, trial in zip(across, search.trials, strict=True)
            if trial.pruned == pruned and math.isfinite(trial.values[0])
        ]
        if points:
            panel.scatter(*zip(*points, strict=True), label=label, zorder=3, **style)
    values = [t.values[0] for t in search.trials if math.isfinite(t.values[0])]
    set_scale(panel, "y", values, _LOG_VALUES)
    tidy(panel)


def _legend(figure: "Figure", panel: "Axes") -> None:
    figure.legend(
        *panel.get_legend_handles_labels(), loc="outside upper left", ncols=3, frameon=False
    )


def _distribution(trials: Sequence[Trial], key: str) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    values: list[Any] = [trial.settings.get(key) for trial in trials]
    if not _numeric(values):
        return CategoricalDistribution(sorted({_words(value) for value in values}))
    numbers = [float(value) for value in values]
    return FloatDistribution(min(numbers), max(numbers), log=is_logarithmic(numbers))


def _numeric(values: Sequence[Any]) -> bool:
    return all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)


def _words(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
