import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unrolled.comparison.expected_best import expected_best, expected_bests
from unrolled.comparison.expected_best_plot import expected_best_plots

Make = Callable[..., Any]


@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize("values", [[3.0, 1.0, 2.0, 5.0, 4.0], [2.0, 2.0, 1.0, 7.0], [4.0]])
def test_against_every_draw_of_so_many_trials(values: list[float], lower: bool) -> None:
    found = expected_best(values, lower)
    assert found.trials == tuple(range(1, len(values) + 1))
    for n, mean, low, high in zip(found.trials, found.mean, found.low, found.high, strict=True):
        better = min if lower else max
        bests = [better(draw) for draw in itertools.product(values, repeat=n)]
        assert mean == pytest.approx(np.mean(bests))
        # Each tail has at most 2.5 % of the bests, and with its end itself no less than that.
        assert np.mean([best < low for best in bests]) <= 0.025 + 1e-12
        assert np.mean([best > high for best in bests]) <= 0.025 + 1e-12
        assert np.mean([best <= low for best in bests]) >= 0.025 - 1e-12
        assert np.mean([best >= high for best in bests]) >= 0.025 - 1e-12


def test_one_trial_is_the_mean_of_all_and_more_can_only_help() -> None:
    values = list(np.random.default_rng(0).normal(size=500))
    found = expected_best(values, lower_is_better=True)
    assert found.mean[0] == pytest.approx(np.mean(values))
    assert list(found.mean) == sorted(found.mean, reverse=True)
    assert found.mean[-1] >= min(values)
    assert found.trials[-1] == 500
    assert len(found.trials) <= 200


def test_a_trial_that_diverged_is_as_bad_as_the_worst() -> None:
    diverged = expected_best([1.0, float("inf"), 3.0, float("nan")], lower_is_better=True)
    assert diverged == expected_best([1.0, 3.0, 3.0, 3.0], lower_is_better=True)
    with pytest.raises(ValueError, match="finite"):
        expected_best([float("inf")], lower_is_better=True)


def search(make_run: Make, study: str, losses: list[float], name: str = "s") -> None:
    for number, loss in enumerate(losses):
        lr = ord(study) * 10.0**-number
        config = {"trial.search": name, "trial.number": number, "optimizer.lr": lr}
        make_run(
            "lstm", 1, config=config, metrics={"validation/loss": loss},
            folder=f"{study}/r{number}", name=f"r{number}",
        )  # fmt: skip


def test_a_curve_a_search_and_none_of_too_few_trials(
    make_run: Make, analysed: Make, tmp_path: Path
) -> None:
    search(make_run, "a", [4.0, 2.0, 3.0])
    search(make_run, "b", [1.0, 2.0, 3.0, 4.0])
    search(make_run, "c", [1.0, 2.0], name="small")
    curves = expected_bests(analysed("loss").searches)
    assert list(curves) == ["s (1)", "s (2)"]
    found = [curve for _, curve in curves.values()]
    for losses in ([4.0, 2.0, 3.0], [1.0, 2.0, 3.0, 4.0]):
        assert expected_best(losses, lower_is_better=True) in found
    figure = expected_best_plots(analysed("loss").searches)["expected_best.png"]
    (panel,) = figure.axes
    assert {np.asarray(line.get_ydata())[0] for line in panel.lines} == {3.0, 2.5}


def test_without_a_search_no_picture(make_run: Make, analysed: Make) -> None:
    make_run("lstm", 1)
    assert expected_best_plots(analysed().searches) == {}
