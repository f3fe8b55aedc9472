"""Pictures of a search beside a comparison of its trials."""

import importlib.util
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from unrolled.comparison.search_plots import (
    history,
    importances,
    pareto_front,
    search_figures,
    values_by_parameter,
)
from unrolled.comparison.searches import Search, Trial

Settings = dict[str, Any]


def make_search(
    values: Sequence[tuple[float, ...]],
    settings: Sequence[Settings],
    pruned: tuple[int, ...] = (),
    lower: tuple[bool, ...] = (True,),
) -> Search:
    trials = [
        Trial(number, number in pruned, value, chosen)
        for number, (value, chosen) in enumerate(zip(values, settings, strict=True))
    ]
    names = ("validation/loss", "model.parameters", "timing.seconds")[: len(lower)]
    return Search("s", names, lower, tuple(trials))


RATES = [{"lr": 10.0 ** (number / 4 - 4), "cell": "gru" if number % 2 else "lstm"}
         for number in range(12)]  # fmt: skip
SEARCH = make_search([(abs(number - 5) + 1.0,) for number in range(12)], RATES, pruned=(0, 11))


def labels(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_history_shows_each_trial_the_best_so_far_and_the_pruned() -> None:
    figure = history(SEARCH)
    assert labels(figure) == ["a finished trial", "a pruned trial, at its end", "best so far: 1"]
    (line,) = figure.axes[0].lines
    assert np.array_equal(line.get_ydata(), [5, 4, 3, 2, 1, 1, 1, 1, 1, 1, 1])
    finished, pruned = figure.axes[0].collections
    assert np.shape(finished.get_offsets()) == (10, 2)
    assert np.shape(pruned.get_offsets()) == (2, 2)


def test_the_best_of_what_is_to_be_high_is_the_highest() -> None:
    search = make_search([(0.1,), (0.3,), (0.2,)], RATES[:3], lower=(False,))
    (line,) = history(search).axes[0].lines
    assert np.array_equal(line.get_ydata(), [0.1, 0.3, 0.3, 0.3])


def test_a_panel_for_each_parameter_with_a_log_axis_where_it_spans_much() -> None:
    cell, lr = values_by_parameter(SEARCH).axes
    assert (cell.get_xlabel(), lr.get_xlabel()) == ("cell", "lr")
    assert lr.get_xscale() == "log"
    assert [text.get_text() for text in cell.get_xticklabels()] == ["lstm", "gru"]
    even = make_search([(1.0,)] * 9, [{"dropout": 0.01 + n / 20, "layers": n} for n in range(9)])
    assert [panel.get_xscale() for panel in values_by_parameter(even).axes] == ["linear"] * 2


def test_what_mattered_is_weighed() -> None:
    weights = importances(SEARCH, SEARCH.finished)
    assert set(weights) == {"lr", "cell"}
    assert weights["lr"] > weights["cell"]


def test_without_optuna_everything_else_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert set(search_figures([SEARCH])) == {"search_history.png", "search_parameters.png"}


def test_pictures_by_the_number_of_trials_and_of_searches() -> None:
    kinds = ("history", "importance", "parameters")
    assert set(search_figures([SEARCH])) == {f"search_{kind}.png" for kind in kinds}
    names = {f"search{number}_{kind}.png" for number in (1, 2) for kind in kinds}
    assert set(search_figures([SEARCH, SEARCH])) == names
    few = make_search([(1.0,), (2.0,)], RATES[:2])
    assert "search_importance.png" not in search_figures([few])
    assert search_figures([make_search([(1.0,)], RATES[:1])]) == {}
    assert search_figures([]) == {}


def test_the_front_of_several_objectives() -> None:
    values = [(1.0, 9.0), (2.0, 5.0), (3.0, 6.0), (4.0, 1.0), (math.inf, 0.5)]
    search = make_search(values, RATES[:5], lower=(True, True))
    assert set(search_figures([search])) == {"search_pareto_front.png"}
    figure = pareto_front(search, search.finished[:4])
    assert labels(figure) == ["others (1)", "front (3)"]
    assert {text.get_text() for text in figure.axes[0].texts} == {"0", "1", "3"}


def test_three_objectives_have_a_panel_a_pair() -> None:
    values = [(1.0, 9.0, 2.0), (2.0, 5.0, 1.0)]
    search = make_search(values, RATES[:2], lower=(True, True, True))
    assert len(pareto_front(search, search.finished).axes) == 3


def test_infinite_values_are_left_out(tmp_path: Path) -> None:
    search = make_search([(1.0,), (math.inf,), (2.0,), (3.0,), (1.5,), (1.2,)], RATES[:6])
    for name, figure in search_figures([search]).items():
        figure.savefig(tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
