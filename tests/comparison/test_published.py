"""Rows against published figures: a t-test of a row's seeds against one number."""

from collections.abc import Callable
from typing import Any

import pytest
from scipy import stats

from unrolled.comparison.references import Reference

Make = Callable[..., Any]
TUTORIAL = {"source": "a tutorial", "validation/perplexity": 121.39, "test/perplexity": 6.0}
PAPER = {"source": "a paper", "test/perplexity": 5.02}


def said(comparison: Any) -> list[str]:
    return [note.text for note in comparison.notes if "ublished" in note.text]


def test_each_row_is_tested_against_the_figures_that_its_configuration_names(
    make_runs: Make, analysed: Make
) -> None:
    lstm, gru = [5.0, 5.1, 4.9], [5.9, 6.3, 6.1]
    make_runs("lstm", lstm, config={"published": [TUTORIAL, PAPER]})
    make_runs("gru", gru, config={"published": [TUTORIAL]})
    make_runs("mgu", [5.0, 5.2, 5.4])
    comparison = analysed()
    tests = {row.label: [*row.other_by_replicate.values()] for row in comparison.rows}
    p_values = [
        stats.ttest_1samp(tests["lstm"], 6.0).pvalue,
        stats.ttest_1samp(tests["gru"], 6.0).pvalue,
        stats.ttest_1samp(tests["lstm"], 5.02).pvalue,
    ]
    smallest = 3 * min(p_values)
    tutorial, paper, how = said(comparison)
    assert tutorial.startswith("Against the published test/perplexity of 6.0")
    assert "(a tutorial): lstm is better, -" in tutorial
    assert f"p = {smallest:.3f}" in tutorial
    assert "gru no difference shown ([" in tutorial
    assert "mgu" not in tutorial
    assert "(a paper): lstm no difference shown ([" in paper
    assert "gru" not in paper
    assert how.endswith("against it, corrected (Holm) for all 3 such tests.")


def test_a_figure_of_one_cell_is_shown_to_all_and_tested_with_that_cell_s_rows_alone(
    make_runs: Make, analysed: Make
) -> None:
    figures = [
        {"source": "a paper", "cell": "lstm", "test/perplexity": 6.0},
        {"source": "a paper", "cell": "gru", "test/perplexity": 6.5},
        {"source": "a paper", "cell": "rnn_tanh", "test/perplexity": 9.0},
    ]
    make_runs("lstm", [5.0, 5.1, 4.9], config={"published": figures})
    make_runs("gru", [5.9, 6.3, 6.1], config={"published": figures})
    comparison = analysed()
    labels = [one.label for one in comparison.references if one.kind == "published"]
    assert labels == ["lstm, a paper", "gru, a paper", "rnn_tanh, a paper"]
    of_lstm, of_gru, how = said(comparison)
    assert "of 6.0" in of_lstm and "lstm is better" in of_lstm and "gru " not in of_lstm
    assert "of 6.5" in of_gru and "): gru " in of_gru and "lstm" not in of_gru
    assert "all 2 such tests" in how


@pytest.mark.parametrize("shown", ["validation/perplexity", "test/perplexity"])
def test_the_test_split_goes_first_whichever_is_shown(
    make_runs: Make, analysed: Make, shown: str
) -> None:
    make_runs("lstm", [5.0, 5.1, 4.9], config={"published": [TUTORIAL]})
    told, _ = said(analysed(shown))
    assert told.startswith("Against the published test/perplexity of 6.0")


def test_a_figure_of_the_validation_split_alone_is_tested_there(
    make_runs: Make, analysed: Make
) -> None:
    only = {"source": "a blog", "validation/perplexity": 5.5}
    make_runs("lstm", [6.0, 6.1, 5.9], config={"published": [only]})
    comparison = analysed()
    assert Reference("a blog", "published", 5.5, None) in comparison.references
    told, how = said(comparison)
    assert told.startswith("Against the published validation/perplexity of 5.5")
    assert "lstm is worse, +0.5" in told
    assert "corrected" not in how


@pytest.mark.parametrize("values", [[5.0], [5.0, 5.1]])
def test_two_seeds_are_too_few_for_a_claim(
    make_runs: Make, analysed: Make, values: list[float]
) -> None:
    make_runs("lstm", values, config={"published": [TUTORIAL]})
    assert said(analysed()) == []
