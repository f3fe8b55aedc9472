from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unrolled.comparison.results import Comparison
from unrolled.errors import ConfigError, RunError

Make = Callable[..., Any]

MSE = {
    "name": "adding",
    "primary": "mse",
    "metrics": {
        "loss": {"direction": "min"},
        "mse": {"direction": "min"},
        "correct": {"direction": "max", "format": ".1%"},
    },
    "baselines": {"chance": {"validation/mse": 1 / 6}},
}


def verdicts(comparison: Comparison) -> dict[str, str]:
    return {
        row.label: row.difference.verdict for row in comparison.rows if row.difference is not None
    }


def test_the_primary_metric_of_the_task_is_the_default(make_runs: Make, analysed: Make) -> None:
    metrics = {
        f"{split}/{name}": 0.5 for split in ("validation", "test") for name in MSE["metrics"]
    }
    make_runs("lstm", [1.0, 1.0], task=MSE, metrics=metrics)
    comparison = analysed()
    assert (comparison.metric, comparison.other) == ("validation/mse", "test/mse")


def test_a_metric_is_named_with_or_without_its_split(make_runs: Make, analysed: Make) -> None:
    make_runs("lstm", [5.0, 5.1])
    assert analysed("accuracy").metric == "validation/accuracy"
    of_test = analysed("test/accuracy")
    assert (of_test.metric, of_test.other) == ("test/accuracy", "validation/accuracy")
    with pytest.raises(ConfigError, match=r"metric=perplexty: .*nearest: validation/perplexity"):
        analysed("perplexty")


def test_the_direction_is_the_task_s(make_runs: Make, analysed: Make) -> None:
    for cell, correct in (("lstm", 0.9), ("gru", 0.8)):
        make_runs(
            cell, [1.0, 1.0], task=MSE,
            metrics={"validation/mse": 0.1, "validation/correct": correct},
        )  # fmt: skip
    comparison = analysed("correct")
    assert [row.label for row in comparison.rows] == ["lstm", "gru"]
    assert "lstm has the highest validation correct (90.0%)" in comparison.answer


def word_runs(make_run: Make, perplexities: list[float], **fields: Any) -> None:
    data = {
        "name": "sotu",
        "fingerprint": "f" * 64,
        "tokenizer": "word",
        "vocabulary_size": 5000,
    }
    for seed, perplexity in enumerate(perplexities, start=1):
        make_run(
            "lstm", seed, perplexity, config={"tokenizer.name": "word"}, data=data,
            folder=f"w{seed}", **fields,
        )  # fmt: skip


def test_runs_that_disagree_within_the_metric_are_compared_by_one_that_holds_everywhere(
    make_runs: Make, make_run: Make, analysed: Make
) -> None:
    make_runs("lstm", [5.6, 5.7])
    word_runs(make_run, [150.0, 151.0])
    comparison = analysed()
    assert comparison.metric == "validation/bits_per_character"
    assert comparison.no_headline is None
    assert [row.label for row in comparison.rows] == ["lstm tokenizer=char", "lstm tokenizer=word"]
    asked = analysed("perplexity")
    assert verdicts(asked) == {"lstm tokenizer=word": "other tokenizer: not comparable"}
    assert asked.rows[1].difference is not None
    assert asked.rows[1].difference.mean is None


def test_other_data_and_other_tasks_are_not_subtracted(make_runs: Make, analysed: Make) -> None:
    make_runs("lstm", [5.6, 5.7])
    make_runs("gru", [6.6, 6.8], data={"name": "b", "fingerprint": "2", "tokenizer": "char"})
    assert verdicts(analysed("perplexity")) == {"gru": "other data: not comparable"}
    make_runs("mgu", [6.6, 6.8], task=MSE)
    comparison = analysed()
    assert comparison.metric == "validation/loss"
    assert verdicts(comparison)["mgu"] == "other task: not comparable"


def test_runs_without_a_metric_in_common(make_run: Make, analysed: Make, tmp_path: Path) -> None:
    make_run("lstm", 1, metrics={"validation/perplexity": 5.0})
    make_run("gru", 1, task=MSE, metrics={"validation/mse": 0.5})
    with pytest.raises(RunError, match=r"\(adding, language_modeling\) share no default metric"):
        analysed()
