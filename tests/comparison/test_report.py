import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from unrolled.comparison.report import compare
from unrolled.comparison.statistics import NO_DIFFERENCE
from unrolled.errors import ConfigError, RunError
from unrolled.runs.record import find_runs

Make = Callable[..., Path]


@pytest.fixture
def study(make_runs: Make) -> Path:
    """lstm best, gru not told apart from it, rnn_tanh clearly worse."""
    make_runs("rnn_tanh", [6.02, 6.05, 6.00])
    make_runs("gru", [5.65, 5.60, 5.66])
    return make_runs("lstm", [5.61, 5.63, 5.60])


def loud(comparison: Any) -> str:
    return "\n".join(note.text for note in comparison.notes if note.loud)


def test_sorted_and_never_a_winner_that_the_seeds_do_not_support(study: Path) -> None:
    comparison = compare([study])
    assert comparison.metric == "validation/perplexity"
    assert [row.label for row in comparison.rows] == ["lstm", "gru", "rnn_tanh"]
    lstm, gru, rnn = comparison.rows
    assert lstm.difference is None
    assert gru.difference is not None
    assert gru.difference.verdict == NO_DIFFERENCE
    assert rnn.difference is not None
    assert rnn.difference.verdict == "worse"
    p = stats.ttest_rel([6.02, 6.05, 6.00], [5.61, 5.63, 5.60]).pvalue
    assert rnn.difference.p_corrected == pytest.approx(2 * p)
    assert comparison.answer.startswith("lstm has the lowest validation perplexity (5.61")
    assert f"gru {NO_DIFFERENCE}" in comparison.answer
    assert "rnn_tanh +0.41" in comparison.answer


def test_baseline_of_choice(study: Path) -> None:
    comparison = compare([study], baseline="rnn_tanh")
    by_label = {row.label: row for row in comparison.rows}
    assert by_label["rnn_tanh"].difference is None
    assert by_label["lstm"].difference is not None
    assert by_label["lstm"].difference.verdict == "better"
    assert "against rnn_tanh" in comparison.answer
    with pytest.raises(ConfigError, match=r"baseline=rnn: .*nearest: 'rnn_tanh'"):
        compare([study], baseline="rnn")


def test_accuracy_is_better_when_higher(study: Path) -> None:
    comparison = compare([study], metric="accuracy")
    assert comparison.rows[0].label == "lstm"
    assert comparison.rows[-1].difference is not None
    assert comparison.rows[-1].difference.verdict == "worse"
    assert "lstm has the highest validation accuracy" in comparison.answer
    assert comparison.chance == []


def test_files_agree_with_the_comparison_and_repeat(study: Path) -> None:
    comparison = compare([study])
    output = study / "comparison"
    names = {"comparison.md", "comparison.json", "learning_curves.png", "seeds.png"}
    assert {path.name for path in output.iterdir()} == names
    first = {name: (output / name).read_bytes() for name in names}
    values = json.loads(first["comparison.json"])
    rows = [line for line in first["comparison.md"].decode().splitlines() if line[:1] == "|"]
    for row, line, group in zip(comparison.rows, rows[2:], values["groups"], strict=False):
        assert group["label"] == row.label
        assert group["validation/perplexity"]["mean"] == row.value.mean
        assert group["test/perplexity"]["low"] == row.other.low if row.other else False
        assert [run["metrics"]["validation/perplexity"] for run in group["runs"]] == list(
            row.by_seed.values()
        )
        assert f"{row.value.mean:.3f} [{row.value.low:.3f}, {row.value.high:.3f}]" in line
        if row.difference:
            assert group["difference"]["p_corrected"] == row.difference.p_corrected
            assert row.difference.verdict in line
    assert "unigram" in rows[-1]
    assert "21.300" in rows[-1]
    assert values["answer"] == comparison.answer
    compare([study])
    assert {name: (output / name).read_bytes() for name in names} == first
    assert len(find_runs(study)) == 9


def test_output_elsewhere(study: Path, tmp_path: Path) -> None:
    comparison = compare([study], output=tmp_path / "there")
    assert not (study / "comparison").exists()
    assert all(path.parent == tmp_path / "there" and path.is_file() for path in comparison.files)
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot be written"):
        compare([study], output=tmp_path / "file" / "below")


def test_few_seeds_are_said_to_be_few(study: Path) -> None:
    notes = " ".join(note.text for note in compare([study]).notes)
    assert "fewer than 5 seeds" in notes
    assert "too narrow to trust" in notes


def test_runs_that_were_best_at_their_end_are_said_to_learn_still(make_runs: Make) -> None:
    make_runs("lstm", [5.0, 5.1])
    study = make_runs("gru", [6.0, 6.1], best={"step": 500, "epoch": 1})
    notes = [note.text for note in compare([study]).notes if "still learning" in note.text]
    assert len(notes) == 1
    assert "lstm" in notes[0]
    assert "gru" not in notes[0]


def test_single_seeds_claim_nothing(make_runs: Make) -> None:
    make_runs("lstm", [5.0])
    comparison = compare([make_runs("gru", [9.0])])
    row = comparison.rows[1]
    assert row.value.low is None
    assert row.difference is not None
    assert row.difference.verdict == "one common seed: no claim"
    assert "One seed only for lstm and gru" in loud(comparison)
    assert "gru one common seed: no claim" in comparison.answer


def test_one_cell_alone(make_runs: Make) -> None:
    comparison = compare([make_runs("lstm", [5.0, 5.1])])
    assert "nothing to compare" in comparison.answer


def test_other_vocabularies_are_compared_by_bits_per_character(
    make_runs: Make, make_run: Make
) -> None:
    sizes = {"tokens": 20_000, "characters": 50_000, "unknown_rate": 0.03}
    words = {
        "name": "sotu",
        "fingerprint": "f" * 64,
        "tokenizer": "word",
        "vocabulary_size": 5000,
        "sizes": {"validation": sizes, "test": sizes},
        "unigram_perplexity": {"validation": 700.0, "test": 710.0},
    }
    study = make_runs("lstm", [5.6, 5.7])
    for seed in (1, 2):
        config = {"tokenizer.name": "word"}
        make_run("lstm", seed, 150.0 + seed, config=config, data=words, folder=f"w{seed}")
    comparison = compare([study])
    assert comparison.metric == "validation/bits_per_character"
    assert [row.label for row in comparison.rows] == ["lstm tokenizer=char", "lstm tokenizer=word"]
    assert "different vocabularies" in loud(comparison)
    assert "word 3.00%" in loud(comparison)
    assert {round(level.value or 0, 6) for level in comparison.chance} == {
        round(math.log2(21.3), 6),
        round(math.log2(700.0) * 0.4, 6),
    }
    asked = compare([study], metric="perplexity")
    assert asked.rows[1].difference is not None
    assert asked.rows[1].difference.verdict == "other vocabulary: not comparable"
    assert asked.rows[1].difference.mean is None


def test_other_data_is_loud_and_not_subtracted(make_runs: Make) -> None:
    make_runs("lstm", [5.6, 5.7], data={"name": "a", "fingerprint": "1", "vocabulary_size": 9})
    study = make_runs(
        "gru", [6.6, 6.8], data={"name": "b", "fingerprint": "2", "vocabulary_size": 9}
    )
    comparison = compare([study], metric="perplexity")
    assert "different data" in loud(comparison)
    assert comparison.rows[1].difference is not None
    assert comparison.rows[1].difference.verdict == "other data: not comparable"


def test_warnings_of_unequal_models_and_machines(make_runs: Make) -> None:
    make_runs("lstm", [5.6, 5.7], model={"parameters": 130_000})
    study = make_runs("gru", [6.6, 6.8], environment={"cpu": "another", "threads": 2})
    comparison = compare([study])
    assert "gru has 100,000 parameters, lstm 130,000" in loud(comparison)
    assert "budget=equal" in loud(comparison)
    notes = " ".join(note.text for note in comparison.notes)
    assert "different processors, numbers of threads and versions of torch" in notes


EQUAL = {"parameters": 100_000, "flops_per_token": 200_000, "state_size": 128}


@pytest.mark.parametrize(
    ("budget", "other", "said"),
    [
        ("parameters", "flops_per_token", "same number of parameters (budget.parameters=100,000)"),
        ("flops", "parameters", "same arithmetic per token (budget.flops=100,000)"),
    ],
)
def test_what_a_budget_made_equal_is_said(
    make_runs: Make, budget: str, other: str, said: str
) -> None:
    config = {f"budget.{budget}": 100_000}
    make_runs("lstm", [5.6, 5.7], config=config, model=EQUAL)
    study = make_runs("gru", [6.6, 6.8], config=config, model=EQUAL | {other: 400_000})
    comparison = compare([study])
    assert said in "\n".join(note.text for note in comparison.notes)
    assert "equal size" not in loud(comparison)


def test_rows_of_different_budgets_are_warned_of(make_runs: Make) -> None:
    make_runs("lstm", [5.6, 5.7], config={"budget.parameters": 130_000}, model={"parameters": 13})
    study = make_runs("gru", [6.6, 6.8], config={"budget.flops": 100_000}, model=EQUAL)
    assert "not of equal size" in loud(compare([study]))


def test_what_models_cost_is_in_the_files(make_runs: Make) -> None:
    study = make_runs("lstm", [5.6, 5.7], model=EQUAL)
    make_runs("gru", [6.6, 6.8])
    compare([study])
    lstm, gru = json.loads((study / "comparison" / "comparison.json").read_text())["groups"]
    for group in (lstm, lstm["runs"][0]):
        assert (group["flops_per_token"], group["state_size"]) == (200_000, 128)
    assert gru["flops_per_token"] is gru["state_size"] is None
    table = (study / "comparison" / "comparison.md").read_text()
    assert "| 100,000 | 200K | 128 | 20 | 100,000 |" in table
    assert "| 100,000 | - | - | 20 | 100,000 |" in table


def test_rows_that_differ_in_more_than_the_cell(make_runs: Make) -> None:
    make_runs("lstm", [5.6, 5.7], config={"optimizer.lr": 0.01})
    comparison = compare([make_runs("gru", [6.6, 6.8])])
    assert [row.label for row in comparison.rows] == ["lstm", "gru"]
    assert "more than the cell: optimizer.lr" in loud(comparison)


def test_no_better_than_chance_is_said(make_runs: Make) -> None:
    comparison = compare([make_runs("lstm", [21.4, 21.5])])
    assert "No better than a unigram model" in loud(comparison)


def test_left_out_runs_are_named(study: Path, make_run: Make) -> None:
    make_run("gru", 4, status="failed", error={"type": "DivergedError", "message": "nan"})
    make_run("gru", 5, None, metrics={"validation/perplexity": None})
    (make_run("gru", 6) / "record.json").write_text("{", encoding="utf-8")
    comparison = compare([study])
    assert {run.state for run in comparison.left_out} == {
        "failed",
        "without the metric",
        "damaged",
    }
    text = loud(comparison)
    assert "gru-seed4-abc123 (DivergedError: nan)" in text
    assert "gru-seed5-abc123" in text
    assert "gru-seed6-abc123" in text


def test_unknown_metric_names_the_nearest(study: Path) -> None:
    with pytest.raises(ConfigError, match=r"metric=perplexty: .*nearest: validation/perplexity"):
        compare([study], metric="perplexty")


def test_monitor_is_the_metric_of_other_tasks(make_runs: Make) -> None:
    comparison = compare(
        [
            make_runs(
                "lstm",
                [1.0, 1.0],
                config={"task.monitor": "validation/mse"},
                metrics={"validation/mse": 0.5, "test/mse": 0.6},
            )
        ]
    )
    assert comparison.metric == "validation/mse"


def test_imports_neither_torch_nor_lightning() -> None:
    code = (
        "import sys, unrolled.comparison.report, unrolled.commands.listing\n"
        "bad = {'torch', 'pytorch_lightning', 'scipy', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'imported {bad}' if bad else 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
