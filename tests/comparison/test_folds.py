"""A comparison of cross-validated runs: what is a row, what is paired, and what is said of it."""

import csv
import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from unrolled.comparison import plots
from unrolled.comparison.collect import collect
from unrolled.comparison.export import to_csv, to_json
from unrolled.comparison.grouping import Replicate
from unrolled.comparison.results import Comparison

FOLDS = {"folds": 3, "validation": {"name": "kfold", "holds_out": "test"}}
LSTM, GRU = [6.0, 7.0, 8.0], [5.0, 6.1, 6.9]


@pytest.fixture
def make_folds(make_run: Callable[..., Path]) -> Callable[..., None]:
    """Writes a run for each fold of a cross-validation."""

    def make(cell: str, perplexities: Sequence[float], seed: int = 1, **changes: Any) -> None:
        for fold, perplexity in enumerate(perplexities):
            config = {**FOLDS, "fold": fold, **changes}
            sizes = {"train": 16, "validation": 4, "test": 10}
            make_run(
                cell,
                seed,
                perplexity,
                config=config,
                folder=f"{cell}-{seed}-{fold}-{config['folds']}",
                data={
                    "name": "small",
                    "fingerprint": "f" * 64,
                    "sizes": {split: {"examples": count} for split, count in sizes.items()},
                },
                task={
                    "baselines": {
                        "unigram": {
                            "test/perplexity": 20.0 + fold,
                            "validation/perplexity": 30.0 + fold,
                        }
                    }
                },
            )

    return make


def test_the_folds_of_a_configuration_are_one_row(
    make_folds: Callable[..., None], analysed: Callable[..., Comparison]
) -> None:
    for seed in (1, 2):
        make_folds("lstm", [value + seed / 100 for value in LSTM], seed)
        make_folds("gru", [value + seed / 50 for value in GRU], seed)
    comparison = analysed()
    assert [row.label for row in comparison.rows] == ["gru", "lstm"]
    assert comparison.added == ()
    row = comparison.rows[1]
    assert (row.seeds, row.folds) == ([1, 2], [0, 1, 2])
    assert [run.replicate for run in row.runs][:4] == [
        Replicate(1, 0), Replicate(1, 1), Replicate(1, 2), Replicate(2, 0),
    ]  # fmt: skip
    difference = row.difference
    assert difference is not None
    # The examples that a figure is of, by those that its model learned from.
    assert difference.overlap == row.value.overlap == 10 / 16
    assert row.other is not None
    assert row.other.overlap == 4 / 16
    said = " ".join(note.text for note in comparison.notes)
    assert "paired by seed and fold, with the 95 % interval of the corrected resampled t-" in said
    assert "the seeds of a fold averaged first" in said
    assert "n_test / n_train = 0.625" in said
    assert "bootstrap" not in said
    assert "One seed only" not in said


def test_the_figures_are_those_of_the_split_that_is_held_out(
    make_folds: Callable[..., None], analysed: Callable[..., Comparison]
) -> None:
    make_folds("lstm", LSTM)
    assert (analysed().metric, analysed().other) == ("test/perplexity", "validation/perplexity")
    assert analysed("accuracy").metric == "test/accuracy"
    assert analysed("validation/accuracy").metric == "validation/accuracy"
    make_folds("gru", GRU, validation={"name": "kfold", "holds_out": "validation"})
    assert analysed().metric == "validation/perplexity"


@pytest.mark.parametrize(
    "other",
    [
        {"folds": 5},
        {"validation": {"name": "kfold", "holds_out": "validation"}},
        {"folds": None, "fold": None, "validation": {"name": "holdout", "holds_out": None}},
    ],
)
def test_other_folds_are_another_row_and_not_compared(
    other: dict[str, Any], make_folds: Callable[..., None], analysed: Callable[..., Comparison]
) -> None:
    make_folds("lstm", LSTM)
    make_folds("gru", GRU[: 1 if "fold" in other else 3], **other)
    comparison = analysed()
    assert len(comparison.rows) == 2
    (difference,) = [row.difference for row in comparison.rows if row.difference]
    assert (difference.mean, difference.verdict) == (None, "other folds: not comparable")
    assert comparison.no_headline == "the runs were not split into the same folds"


def test_the_same_fold_twice_is_a_duplicate(
    make_folds: Callable[..., None], make_run: Callable[..., Path], tmp_path: Path
) -> None:
    make_folds("lstm", LSTM)
    make_run("lstm", 1, 6.0, config={**FOLDS, "fold": 2}, folder="zz", data={
        "name": "small", "fingerprint": "f" * 64,
    })  # fmt: skip
    runs = collect([tmp_path / "study"])
    assert [run.state for run in runs.left_out] == ["duplicate"]
    assert "the same configuration, seed and fold as" in runs.left_out[0].reason
    assert len(runs.runs) == 3


def test_a_fold_that_is_missing_is_said(
    make_folds: Callable[..., None], analysed: Callable[..., Comparison]
) -> None:
    make_folds("lstm", LSTM[:2])
    make_folds("gru", GRU)
    comparison = analysed()
    said = [note.text for note in comparison.notes if note.loud]
    assert any("Not every fold has a figure in lstm (2 of 3 runs)" in text for text in said)
    (difference,) = [row.difference for row in comparison.rows if row.difference]
    assert difference.folds == [0, 1]


def test_a_data_set_that_says_no_sizes_is_taken_to_be_shared_out_evenly(
    make_run: Callable[..., Path], analysed: Callable[..., Comparison]
) -> None:
    for fold, value in enumerate(LSTM):
        make_run("lstm", 1, value, config={**FOLDS, "fold": fold}, folder=f"{fold}")
    assert analysed().rows[0].value.overlap == 1 / 2


def test_a_baseline_is_the_mean_over_the_folds(
    make_folds: Callable[..., None], analysed: Callable[..., Comparison]
) -> None:
    make_folds("lstm", LSTM)
    make_folds("gru", GRU)
    (reference,) = analysed().references
    assert (reference.label, reference.value, reference.other) == ("unigram", 21.0, 31.0)
    # Worse than the baseline of fold 0 alone, and better in the mean.
    make_folds("irnn", [20.3, 20.3, 20.3])
    assert 20 < analysed().rows[-1].value.mean < 21
    assert not any("No better" in note.text for note in analysed().notes)


def test_tables_files_and_pictures_have_the_folds(
    make_folds: Callable[..., None], analysed: Callable[..., Comparison]
) -> None:
    make_folds("lstm", LSTM)
    make_folds("gru", GRU)
    comparison = analysed()
    cells = {column.title: column.cell(comparison.rows[0]) for column in comparison.columns}
    assert (cells["seeds"], cells["folds"]) == (("1",), ("3",))
    told = to_json(comparison)
    group = told["groups"][0]
    assert (group["seeds"], group["folds"]) == ([1], [0, 1, 2])
    assert group["test/perplexity"]["folds"] == 3
    assert [run["fold"] for run in group["runs"]] == [0, 1, 2]
    assert told["groups"][1]["difference"]["overlap"] == 10 / 16
    line = next(csv.DictReader(io.StringIO(to_csv(comparison))))
    assert (line["seeds"], line["folds"]) == ("1", "0 1 2")
    label = plots.seeds(comparison).axes[0].get_xlabel()
    assert label.startswith("test perplexity")
    assert "dot: a fold; tick: mean; bar: 95 % corrected resampled t interval" in label


def test_without_folds_nothing_is_said_of_them(
    make_run: Callable[..., Path], analysed: Callable[..., Comparison]
) -> None:
    for seed in (1, 2):
        make_run("lstm", seed, 5.0 + seed)
        make_run("gru", seed, 5.5 + seed / 2)
    comparison = analysed()
    for text in (str(to_json(comparison)), to_csv(comparison)):
        assert not re.search(r"\bfolds?\b|overlap", text)
    assert "dot: a seed; tick: mean; bar: 95 % Student's t interval" in (
        plots.seeds(comparison).axes[0].get_xlabel()
    )
