import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from scipy import stats

from unrolled.comparison.report import compare, output_folder
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


def test_sorted_and_never_a_winner_that_the_seeds_do_not_support(study: Path) -> None:
    comparison, _ = compare([study])
    assert comparison.metric == "validation/perplexity"
    assert [row.label for row in comparison.rows] == ["lstm", "gru", "rnn_tanh"]
    lstm, gru, rnn = comparison.rows
    assert lstm.difference is None
    assert gru.difference is not None
    assert gru.difference.verdict == NO_DIFFERENCE
    assert rnn.difference is not None
    assert rnn.difference.verdict == "worse"
    p = stats.ttest_rel([6.02, 6.05, 6.00], [5.61, 5.63, 5.60]).pvalue
    # The data chose the baseline, so all three pairs are looked at.
    assert rnn.difference.p_corrected == pytest.approx(3 * p)


def test_baseline_of_choice(study: Path) -> None:
    comparison, _ = compare([study], baseline="rnn_tanh")
    by_label = {row.label: row for row in comparison.rows}
    assert by_label["rnn_tanh"].difference is None
    assert by_label["lstm"].difference is not None
    assert by_label["lstm"].difference.verdict == "better"
    p = stats.ttest_rel([6.02, 6.05, 6.00], [5.61, 5.63, 5.60]).pvalue
    assert by_label["lstm"].difference.p_corrected == pytest.approx(2 * p)
    with pytest.raises(ConfigError, match=r"baseline=rnn: .*nearest: 'rnn_tanh'"):
        compare([study], baseline="rnn")


def test_accuracy_is_better_when_higher(study: Path) -> None:
    comparison, _ = compare([study], metric="accuracy")
    assert comparison.rows[0].label == "lstm"
    assert comparison.rows[-1].difference is not None
    assert comparison.rows[-1].difference.verdict == "worse"


def test_files_agree_with_the_comparison_and_repeat(study: Path) -> None:
    comparison, written = compare([study])
    output = study / "comparison"
    names = {
        "comparison.md", "comparison.json", "comparison.csv", "comparison.tex", "report.html",
        "learning_curves.png", "seeds.png",
    }  # fmt: skip
    assert {path.name for path in output.iterdir()} == {*names, "tensorboard"}
    assert {path.name for path in written.files} == names
    first = {name: (output / name).read_bytes() for name in names}
    values = json.loads(first["comparison.json"])
    rows = [line for line in first["comparison.md"].decode().splitlines() if line[:1] == "|"]
    for row, line, group in zip(comparison.rows, rows[2:], values["groups"], strict=False):
        assert group["label"] == row.label
        assert group["validation/perplexity"]["mean"] == row.value.mean
        assert row.other is not None
        assert group["test/perplexity"]["low"] == row.other.low
        assert [run["metrics"]["validation/perplexity"] for run in group["runs"]] == list(
            row.by_replicate.values()
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


def test_where_to_look_next(study: Path) -> None:
    _, written = compare([study])
    said = "\n".join(written.next_steps)
    assert f"the report: {study / 'comparison' / 'report.html'}" in said
    assert "learning_curves.png" in said
    assert f"unrolled tensorboard {study}" in said
    assert f"unrolled generate {study / 'lstm-seed3-abc123'}" in said


def test_output_elsewhere(study: Path, tmp_path: Path) -> None:
    _, written = compare([study], output=tmp_path / "there")
    assert not (study / "comparison").exists()
    assert all(path.parent == tmp_path / "there" and path.is_file() for path in written.files)
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot be written"):
        compare([study], output=tmp_path / "file" / "below")


def test_several_folders_leave_the_comparison_of_one_of_them_alone(
    study: Path, tmp_path: Path
) -> None:
    compare([study])
    before = (study / "comparison" / "comparison.json").read_bytes()
    other = tmp_path / "other"
    other.mkdir()
    (study / "lstm-seed1-abc123").rename(other / "lstm-seed1-abc123")
    _, written = compare([study, other])
    assert (study / "comparison" / "comparison.json").read_bytes() == before
    assert {path.parent for path in written.files} == {Path("comparison-study-other")}
    assert "comparison-study-other" in written.next_steps[0]


def test_the_folder_of_several(tmp_path: Path) -> None:
    a, b = tmp_path / "x" / "run", tmp_path / "y" / "run"
    for folder in (a, b):
        folder.mkdir(parents=True)
    assert output_folder([a, b]) == Path("comparison-x_run-y_run")
    assert output_folder([a, Path("x") / "run"]).resolve() == a / "comparison"
    assert output_folder([tmp_path / "x", a]) == Path("x/comparison-x-run")
    many = [tmp_path / f"{number}{'long' * 9}" for number in range(9)]
    assert len(output_folder(many).name) < 120
    assert output_folder(many) != output_folder([*many, tmp_path / "more"])


def test_a_comparison_is_not_changed_by_writing_it(study: Path, tmp_path: Path) -> None:
    from unrolled.comparison.collect import collect
    from unrolled.comparison.report import analyse, write

    comparison = analyse(collect([study]), [study])
    same = analyse(collect([study]), [study])
    write(comparison, tmp_path / "there")
    assert (comparison.notes, comparison.answer, comparison.rows) == (
        same.notes, same.answer, same.rows,
    )  # fmt: skip


def test_imports_neither_torch_nor_lightning() -> None:
    code = (
        "import sys, unrolled.comparison.report, unrolled.commands.listing\n"
        "bad = {'torch', 'pytorch_lightning', 'scipy', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'imported {bad}' if bad else 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
