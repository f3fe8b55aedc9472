import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unrolled.comparison.results import Comparison

Make = Callable[..., Any]

EQUAL = {"parameters": 100_000, "flops_per_token": 200_000, "state_size": 128}


def loud(comparison: Comparison) -> str:
    return "\n".join(note.text for note in comparison.notes if note.loud)


def every(comparison: Comparison) -> str:
    return "\n".join(note.text for note in comparison.notes)


def test_few_seeds_are_said_to_be_few(make_runs: Make, analysed: Make) -> None:
    make_runs("lstm", [5.61, 5.63, 5.60])
    assert "Student's t; from fewer than 5 seeds (lstm) it rests on their being normal" in every(
        analysed()
    )


def test_what_the_intervals_of_differences_are(make_runs: Make, analysed: Make) -> None:
    make_runs("lstm", [5.61, 5.63, 5.60])
    make_runs("gru", [5.65, 5.60, 5.66])
    assert "with the 95 % interval of a paired t-test." in every(analysed())
    make_runs("rnn_tanh", [6.02, 6.05, 6.00])
    said = every(analysed())
    assert "p is corrected (Holm) for all 3 pairs of rows, since the data chose the" in said
    assert "(95 to 98.3 %), so it leaves 0 out exactly where p is below 0.05" in said
    assert "p is corrected (Holm) for 2 comparisons" in every(analysed(baseline="gru"))


def test_runs_that_were_best_at_their_end_are_said_to_learn_still(
    make_runs: Make, analysed: Make
) -> None:
    make_runs("lstm", [5.0, 5.1])
    make_runs("gru", [6.0, 6.1], best={"step": 500, "epoch": 1})
    (said,) = [note.text for note in analysed().notes if "still learning" in note.text]
    assert "lstm" in said
    assert "gru" not in said


def test_precisions_that_auto_chose_differently(make_runs: Make, analysed: Make) -> None:
    make_runs("lstm", [5.0, 5.1], model=EQUAL | {"precision": "bf16"})
    make_runs("mgu", [5.0, 5.1], model=EQUAL)
    assert "precision" not in every(analysed())
    make_runs("gru", [6.0, 6.1], model=EQUAL | {"precision": "fp32"})
    assert "different precisions (bf16: lstm; fp32: gru); trainer.precision=" in loud(analysed())


def test_single_seeds(make_runs: Make, analysed: Make) -> None:
    make_runs("lstm", [5.0])
    make_runs("gru", [9.0])
    assert "One seed only for lstm and gru" in loud(analysed())


def test_runs_that_differ_in_what_a_metric_must_agree_in(make_runs: Make, analysed: Make) -> None:
    data = {"name": "a", "fingerprint": "1", "tokenizer": "char", "vocabulary_size": 98}
    make_runs("lstm", [5.6, 5.7], data=data)
    make_runs("gru", [6.6, 6.8], data=data | {"tokenizer": "word", "vocabulary_size": 5000})
    assert (
        "The runs differ (tokenizer: char and word; vocabulary size: 5,000 and 98): figures such "
        "as perplexity cannot be compared, so bits per character is."
    ) in loud(analysed())
    assert (
        "figures such as accuracy cannot be compared; --metric bits_per_character can."
    ) in loud(analysed("accuracy"))


def test_cautions_of_the_metric_that_is_shown(make_runs: Make, analysed: Make) -> None:
    cautions = {"validation/bits_per_character": "3.00% are unknown.", "test/loss": "Not this."}
    make_runs("lstm", [5.6, 5.7], task={"cautions": cautions})
    make_runs("gru", [5.6, 5.7], task={"cautions": cautions})
    assert loud(analysed("bits_per_character")).count("3.00% are unknown.") == 1
    assert "unknown" not in every(analysed())
    assert "Not this" not in every(analysed())


def test_other_data_and_other_tasks_are_loud(make_runs: Make, analysed: Make) -> None:
    make_runs("lstm", [5.6, 5.7])
    make_runs("gru", [6.6, 6.8], data={"name": "b", "fingerprint": "2"})
    assert "trained on different data (b 2 and sotu ffffff)" in loud(analysed("perplexity"))
    make_runs("mgu", [6.6, 6.8], task={"name": "adding"})
    assert "different tasks (adding and language_modeling)" in loud(analysed("perplexity"))


def test_infinite_figures_are_loud(make_runs: Make, analysed: Make) -> None:
    make_runs("lstm", [5.0, math.inf, 5.1])
    make_runs("gru", [6.0, 6.1])
    assert "validation/perplexity is infinite in lstm (1 of 3 seeds)" in loud(analysed())


def test_unequal_models_and_machines(make_runs: Make, analysed: Make) -> None:
    make_runs("lstm", [5.6, 5.7], model={"parameters": 130_000})
    make_runs("gru", [6.6, 6.8], environment={"cpu": "another", "threads": 2})
    comparison = analysed()
    assert "gru has 100,000 parameters, lstm 130,000" in loud(comparison)
    assert "budget=equal" in loud(comparison)
    assert "different processors, numbers of threads and versions of torch" in every(comparison)


@pytest.mark.parametrize(
    ("budget", "other", "said"),
    [
        ("parameters", "flops_per_token", "same number of parameters (budget.parameters=100,000)"),
        ("flops", "parameters", "same arithmetic per token (budget.flops=100,000)"),
    ],
)
def test_what_a_budget_made_equal(
    make_runs: Make, analysed: Make, budget: str, other: str, said: str
) -> None:
    config = {f"budget.{budget}": 100_000}
    make_runs("lstm", [5.6, 5.7], config=config, model=EQUAL)
    make_runs("gru", [6.6, 6.8], config=config, model=EQUAL | {other: 400_000})
    comparison = analysed()
    assert said in every(comparison)
    assert "equal size" not in loud(comparison)


def test_rows_of_different_budgets(make_runs: Make, analysed: Make) -> None:
    make_runs("lstm", [5.6, 5.7], config={"budget.parameters": 130_000}, model={"parameters": 13})
    make_runs("gru", [6.6, 6.8], config={"budget.flops": 100_000}, model=EQUAL)
    assert "not of equal size" in loud(analysed())


def test_rows_that_differ_in_more_than_the_cell(make_runs: Make, analysed: Make) -> None:
    make_runs("lstm", [5.6, 5.7], config={"optimizer.lr": 0.01})
    make_runs("gru", [6.6, 6.8])
    comparison = analysed()
    assert [row.label for row in comparison.rows] == ["lstm", "gru"]
    assert "more than the cell: optimizer.lr" in loud(comparison)


def test_no_better_than_a_baseline(make_runs: Make, analysed: Make) -> None:
    baselines = {
        "chance": {"validation/perplexity": 30.0, "validation/accuracy": 0.04},
        "unigram": {"validation/perplexity": 21.3},
    }
    make_runs("lstm", [21.4, 21.5], task={"baselines": baselines})
    make_runs("gru", [6.0, 6.1], task={"baselines": baselines})
    assert "No better than the unigram baseline: lstm." in loud(analysed())
    assert "chance" not in loud(analysed())
    make_runs("mgu", [1000.0, 1001.0], task={"baselines": baselines})
    assert "No better than the chance baseline: mgu." in loud(analysed("accuracy"))


def test_left_out_runs_are_named(make_runs: Make, make_run: Make, analysed: Make) -> None:
    make_runs("gru", [5.0, 5.1])
    make_run("gru", 4, status="failed", error={"type": "DivergedError", "message": "nan"})
    make_run("gru", 5, None, metrics={"validation/perplexity": None})
    make_run("gru", 7, None, metrics={"validation/perplexity": math.nan})
    (Path(make_run("gru", 6)) / "record.json").write_text("{", encoding="utf-8")
    comparison = analysed()
    assert sorted(run.state for run in comparison.left_out) == [
        "damaged", "failed", "without the metric", "without the metric",
    ]  # fmt: skip
    said = loud(comparison)
    assert "gru-seed4-abc123 (DivergedError: nan)" in said
    for seed in (5, 6, 7):
        assert f"gru-seed{seed}-abc123" in said
