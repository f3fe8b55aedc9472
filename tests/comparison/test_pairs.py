"""Which pairs of rows are looked at, and what is said of each."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from unrolled.comparison import pairs
from unrolled.comparison.export import markdown, to_csv, to_json
from unrolled.comparison.results import Comparison
from unrolled.comparison.statistics import Margin

Make = Callable[..., Any]
LSTM, GRU, RNN = [5.61, 5.63, 5.60], [5.65, 5.60, 5.66], [6.02, 6.05, 6.00]


@pytest.fixture
def study(make_runs: Make) -> None:
    make_runs("rnn_tanh", RNN)
    make_runs("gru", GRU)
    make_runs("lstm", LSTM)


def said(comparison: Comparison) -> list[str]:
    return [pair.sentence for pair in comparison.pairs]


@pytest.mark.usefixtures("study")
def test_a_sentence_a_pair_where_the_data_chose_the_baseline(analysed: Make) -> None:
    assert said(analysed()) == [
        "no difference shown between lstm and gru: 3 seeds cannot show less than 0.117, and some "
        "35 seeds would show the 0.023 seen with 80 % power",
        "lstm is better than rnn_tanh by 0.366 to 0.454 validation perplexity, p < 0.001",
        "gru is better than rnn_tanh by 0.183 to 0.590 validation perplexity, p = 0.014",
    ]


@pytest.mark.usefixtures("study")
def test_a_named_baseline_is_compared_with_the_others_alone(analysed: Make) -> None:
    comparison = analysed(baseline="gru")
    assert [(pair.first, pair.second) for pair in comparison.pairs] == [
        ("gru", "lstm"), ("gru", "rnn_tanh"),
    ]  # fmt: skip
    rnn = comparison.pairs[1].difference
    assert rnn.p_corrected == pytest.approx(2 * stats.ttest_rel(RNN, GRU).pvalue)
    assert comparison.rows[2].difference == rnn


@pytest.mark.usefixtures("study")
def test_the_better_row_comes_first_whatever_the_direction(analysed: Make) -> None:
    for metric, baseline in (("accuracy", None), ("accuracy", "rnn_tanh"), (None, "rnn_tanh")):
        claims = [text for text in said(analysed(metric, baseline)) if "is better than" in text]
        assert claims
        assert all(" is better than rnn_tanh by 0" in text for text in claims)
    assert "in validation loss" not in said(analysed("loss"))[1]
    assert "validation loss (nats per token), p " in said(analysed("loss"))[1]


@pytest.mark.usefixtures("study")
def test_of_very_many_rows_only_the_best_is_compared_and_all_pairs_are_corrected_for(
    analysed: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pairs, "MOST_ROWS", 2)
    monkeypatch.setattr("unrolled.comparison.evidence_notes.MOST_ROWS", 2)
    comparison = analysed()
    assert len(comparison.pairs) == 2
    rnn = comparison.pairs[1].difference
    assert rnn.p_corrected == pytest.approx(3 * stats.ttest_rel(RNN, LSTM).pvalue)
    assert any("for all 3 pairs of rows" in note.text for note in comparison.notes)


def test_two_seeds_claim_nothing_however_far_apart(make_runs: Make, analysed: Make) -> None:
    make_runs("lstm", [5.0, 5.001])
    make_runs("gru", [9.0, 9.0011])
    comparison = analysed()
    assert said(comparison) == ["nothing is claimed of lstm and gru: two common seeds"]
    assert "two common seeds: no claim" in comparison.answer
    assert comparison.rows[1].effects is not None
    assert comparison.rows[1].effects.size is None


def test_equal_rows_and_other_data(make_runs: Make, analysed: Make) -> None:
    make_runs("lstm", [5.0, 5.1, 5.2])
    make_runs("gru", [5.0, 5.1, 5.2])
    make_runs("mgu", [7.0, 7.1, 7.3], data={"name": "b", "fingerprint": "2"})
    assert said(analysed("perplexity")) == [
        "no difference shown between gru and lstm: they are equal in every run",
        "nothing is claimed of gru and mgu: other data: not comparable",
        "nothing is claimed of lstm and mgu: other data: not comparable",
    ]


@pytest.fixture
def equivalent(study: None, make_run: Make, tmp_path: Path) -> Callable[[str], Comparison]:
    from unrolled.comparison.collect import collect
    from unrolled.comparison.report import analyse

    folder = tmp_path / "study"
    return lambda margin: analyse(
        collect([folder]), [folder], "perplexity", "lstm", Margin.of(margin)
    )


def test_a_margin_is_answered_in_the_sentence_the_table_and_the_answer(
    equivalent: Callable[[str], Comparison],
) -> None:
    comparison = equivalent("1%")
    gru = comparison.pairs[0]
    assert gru.sentence.endswith("; gru is within 1 % of lstm with probability 77 %")
    assert "rnn_tanh +0.410 [0.374, 0.446], p < 0.001, within 1 % with probability below 1 %" in (
        comparison.answer
    )
    assert gru.difference.within is not None
    assert f",{gru.difference.within}," in to_csv(comparison)
    assert to_json(comparison)["groups"][1]["within"] == gru.difference.within
    assert any("at most 1 % of lstm, by the Bayesian" in note.text for note in comparison.notes)
    sentence = equivalent("0.1").pairs[0].sentence
    assert "; they differ by at most 0.1 with probability 9" in sentence


@pytest.mark.usefixtures("study")
def test_the_files_have_the_sentences(analysed: Make) -> None:
    comparison = analysed()
    text = markdown(comparison)
    section = text.partition("## Pair by pair\n")[2]
    assert section.count("\n- ") == 3
    told = json.loads(json.dumps(to_json(comparison)))["pairs"]
    assert [one["sentence"] for one in told] == said(comparison)
    assert told[1]["difference"]["verdict"] == "worse"
    assert "within" not in told[1]["difference"]
    alone = to_json(analysed(baseline="lstm"))["pairs"]
    assert [(one["first"], one["second"]) for one in alone] == [
        ("lstm", "gru"), ("lstm", "rnn_tanh"),
    ]  # fmt: skip


@pytest.mark.usefixtures("study")
def test_details_are_in_the_files_and_not_in_a_terminal(analysed: Make) -> None:
    comparison = analysed()
    values = {column.name: column.value(comparison.rows[2]) for column in comparison.columns}
    assert values["median"] == 6.02
    assert values["iqm"] == pytest.approx(sum(RNN) / 3)
    assert values["improvement"] == 0.0
    assert values["permutation_p"] == 0.25
    assert values["effect_size"] > 5
    details = {column.name for column in comparison.columns if column.detail}
    assert {"median", "iqm", "sd", "effect_size", "improvement", "permutation_p"} == details
    head = to_csv(comparison).splitlines()[0].split(",")
    assert details < set(head)
    assert details < set(to_json(comparison)["groups"][0])
    assert "Hedges' g" in markdown(comparison)
