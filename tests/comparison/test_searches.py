from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unrolled.comparison.results import Comparison
from unrolled.comparison.searches import Search

Make = Callable[..., Any]


def trial(make_run: Make, number: int, loss: float, config: dict[str, Any], **fields: Any) -> None:
    about = {"trial.search": "s", "trial.number": number, **config}
    make_run(
        "lstm", 1, config=about, metrics={"validation/loss": loss}, name=f"r{number}", **fields
    )


def only(comparison: Comparison) -> Search:
    (search,) = comparison.searches
    return search


def test_trials_are_in_order_and_judged_by_what_the_task_monitors(
    make_run: Make, analysed: Make
) -> None:
    for number in (2, 0, 1):
        trial(make_run, number, 4.0 - number, {"optimizer.lr": 10.0**-number})
    search = only(analysed("loss"))
    assert search.objectives == ("validation/loss",)
    assert search.lower_is_better == (True,)
    assert [(t.number, t.values) for t in search.trials] == [(0, (4.0,)), (1, (3.0,)), (2, (2.0,))]
    assert search.parameters == ("optimizer.lr",)


def test_objectives_of_the_record_and_their_directions(make_run: Make, analysed: Make) -> None:
    names = ["validation/accuracy", "model.parameters"]
    for number in (0, 1):
        config = {"trial.search": "s", "trial.number": number, "trial.objectives": names}
        make_run("lstm", number, 5.0, config=config, name=f"r{number}")
    search = only(analysed())
    assert search.objectives == tuple(names)
    assert search.lower_is_better == (False, True)
    accuracy, parameters = search.trials[0].values
    assert accuracy == pytest.approx(0.2)
    assert parameters == 100_000


def test_pruned_trials_have_the_value_of_their_last_validation(
    make_run: Make, analysed: Make
) -> None:
    trial(make_run, 0, 4.0, {"optimizer.lr": 0.1})
    pruned = {"status": "failed", "error": {"type": "PrunedError", "message": "behind"}}
    history = [{"step": 1, "validation/loss": 9.0}, {"step": 2, "validation/loss": 8.0}]
    trial(make_run, 1, 0.0, {"optimizer.lr": 0.2}, history=history, **pruned)
    search = only(analysed("loss"))
    assert [(t.pruned, t.values) for t in search.trials] == [(False, (4.0,)), (True, (8.0,))]


def test_what_the_name_of_a_choice_implies_is_no_parameter(make_run: Make, analysed: Make) -> None:
    choices = [
        {"optimizer.name": "sgd", "optimizer.momentum": 0.9, "optimizer.lr": 1.0},
        {"optimizer.name": "sgd", "optimizer.momentum": 0.9, "optimizer.lr": 2.0},
        {"optimizer.name": "adam", "optimizer.betas": [0.9, 0.99], "optimizer.lr": 0.1},
    ]
    for number, config in enumerate(choices):
        trial(make_run, number, 4.0 - number, config)
    assert only(analysed("loss")).parameters == ("optimizer.lr", "optimizer.name")


def test_what_follows_from_a_key_is_no_parameter(make_run: Make, analysed: Make) -> None:
    for number, rate in enumerate((0.1, 0.3, 0.1)):
        config = {"model.dropout": rate, "model.layer_dropout": rate, "optimizer.lr": number}
        trial(make_run, number, 4.0, config)
    assert only(analysed("loss")).parameters == ("model.dropout", "optimizer.lr")


def test_each_study_has_its_own_search_and_other_runs_have_none(
    make_run: Make, analysed: Make, tmp_path: Path
) -> None:
    make_run("gru", 1)
    for number, study in enumerate(("a", "b", "b")):
        config = {"trial.search": study, "trial.number": number, "optimizer.lr": 1.0 + number}
        make_run("lstm", 1, config=config, folder=f"{study}/r{number}", name=f"r{number}")
    assert [(s.name, len(s.trials)) for s in analysed().searches] == [("a", 1), ("b", 2)]


def test_a_trial_of_several_folds_has_their_mean(make_run: Make, analysed: Make) -> None:
    losses = {0: [4.0, 5.0, 6.0], 1: [3.0, 3.5, 4.0], 2: [1.0, 1.0]}
    for number, folds in losses.items():
        for fold, loss in enumerate(folds):
            of_fold = {"folds": 3, "fold": fold, "optimizer.lr": 0.1 * (number + 1)}
            trial(make_run, number, loss, of_fold, folder=f"{number}-{fold}")
    search = only(analysed("validation/loss"))
    # One of the last trial's folds has failed, or is not there yet.
    assert [(t.number, t.values) for t in search.trials] == [(0, (5.0,)), (1, (3.5,))]
    assert search.parameters == ("optimizer.lr",)
