import math
from collections.abc import Callable
from typing import Any

import pytest

from unrolled.comparison.statistics import NO_DIFFERENCE

Make = Callable[..., Any]


@pytest.fixture
def study(make_runs: Make) -> None:
    """lstm best, gru not told apart from it, rnn_tanh clearly worse."""
    make_runs("rnn_tanh", [6.02, 6.05, 6.00])
    make_runs("gru", [5.65, 5.60, 5.66])
    make_runs("lstm", [5.61, 5.63, 5.60])


@pytest.mark.usefixtures("study")
def test_a_difference_is_claimed_where_the_seeds_support_it(analysed: Make) -> None:
    answer = analysed().answer
    assert answer.startswith("lstm has the lowest validation perplexity (5.61")
    assert f"gru {NO_DIFFERENCE} (" in answer
    assert "rnn_tanh +0.41" in answer


@pytest.mark.usefixtures("study")
def test_an_interval_in_the_answer_agrees_with_its_p(analysed: Make) -> None:
    comparison = analysed()
    gru = next(row.difference for row in comparison.rows if row.label == "gru")
    assert gru.low < 0 < gru.high
    assert f"({gru.low:.3f}"[:4] in comparison.answer.replace("[", "(")


@pytest.mark.usefixtures("study")
def test_against_a_baseline_of_choice(analysed: Make) -> None:
    assert "against rnn_tanh: lstm -0.41" in analysed(baseline="rnn_tanh").answer


def test_one_row_alone(make_runs: Make, analysed: Make) -> None:
    make_runs("lstm", [5.0, 5.1])
    assert "nothing to compare" in analysed().answer


def test_single_seeds_claim_nothing(make_runs: Make, analysed: Make) -> None:
    make_runs("lstm", [5.0])
    make_runs("gru", [9.0])
    assert "gru one common seed: no claim" in analysed().answer


def test_other_data_has_no_winner(make_runs: Make, analysed: Make) -> None:
    make_runs("lstm", [5.6, 5.7], data={"name": "a", "fingerprint": "1"})
    make_runs("gru", [6.6, 6.8], data={"name": "b", "fingerprint": "2"})
    said = analysed("perplexity").answer
    assert (
        said == "No row is the best here: the runs were trained on different data (a 1 and b 2)."
    )


def test_other_tasks_have_no_winner(make_runs: Make, analysed: Make) -> None:
    make_runs("lstm", [5.6, 5.7])
    make_runs("gru", [6.6, 6.8], task={"name": "adding"})
    assert analysed().answer == (
        "No row is the best here: the runs are of different tasks (adding and language_modeling); "
        "compare one task at a time."
    )


def test_a_metric_that_means_something_else_has_no_winner(make_runs: Make, analysed: Make) -> None:
    data = {"name": "a", "fingerprint": "1", "tokenizer": "char", "vocabulary_size": 98}
    make_runs("lstm", [5.6, 5.7], data=data)
    make_runs("gru", [6.6, 6.8], data=data | {"vocabulary_size": 99})
    assert analysed().answer.startswith("lstm has the lowest validation bits per character")
    assert analysed("perplexity").answer == (
        "No row is the best here: validation perplexity means something else in runs that differ "
        "in vocabulary size."
    )


def test_infinite_figures_are_worst_and_never_best(make_runs: Make, analysed: Make) -> None:
    infinite = {"metrics": {"validation/perplexity": math.inf, "test/perplexity": math.inf}}
    make_runs("irnn", [1.0, 1.0], **infinite)
    assert (
        analysed().answer == "irnn has a validation perplexity of inf; there is nothing to "
        "compare it with."
    )
    make_runs("gru", [1.0, 1.0], **infinite)
    assert analysed().answer == "No row has a finite validation perplexity."
    make_runs("lstm", [5.0, 5.1])
    comparison = analysed()
    assert [row.label for row in comparison.rows] == ["lstm", "gru", "irnn"]
    assert "lstm has the lowest validation perplexity (5.05" in comparison.answer
    assert "irnn infinite: no claim" in comparison.answer
