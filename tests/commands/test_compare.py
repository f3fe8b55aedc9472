import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest

from unrolled.cli import main

Make = Callable[..., Path]
Printed = pytest.CaptureFixture[str]


@pytest.fixture
def study(make_runs: Make) -> Path:
    make_runs("gru", [5.65, 5.60, 5.66])
    return make_runs("lstm", [5.61, 5.63, 5.60])


def test_the_table_the_answer_and_where_to_look(study: Path, capsys: Printed) -> None:
    assert main(["compare", str(study)]) == 0
    said = capsys.readouterr().out
    assert "lstm has the lowest validation perplexity" in said
    assert f"the report: {study}/comparison/report.html" in said


def test_in_a_pipe_nothing_is_folded(study: Path, capsys: Printed) -> None:
    assert main(["compare", str(study)]) == 0
    lines = capsys.readouterr().out.splitlines()
    (row,) = [line for line in lines if line.startswith("gru ")]
    assert "no difference shown, p = " in row
    assert "100,000" in row
    assert max(map(len, lines)) > 130


def test_csv_goes_to_standard_output_and_to_a_file(study: Path, capsys: Printed) -> None:
    assert main(["compare", str(study), "--csv"]) == 0
    said = capsys.readouterr().out
    assert said == (study / "comparison" / "comparison.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(said)))
    assert [row["label"] for row in rows] == ["lstm", "gru", "unigram"]


def test_metric_baseline_keys_and_output(study: Path, tmp_path: Path, capsys: Printed) -> None:
    options = ["--metric", "accuracy", "--baseline", "gru", "--output", str(tmp_path / "there")]
    assert main(["compare", str(study), *options, "--by", "cell.name,model.layers"]) == 0
    said = capsys.readouterr().out
    assert "against gru layers=1: lstm layers=1" in said
    assert "highest validation accuracy" in said
    assert (tmp_path / "there" / "comparison.json").is_file()
    assert not (study / "comparison").exists()


def test_several_folders_are_written_beside_them(
    study: Path, tmp_path: Path, capsys: Printed
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (study / "gru-seed1-abc123").rename(other / "gru-seed1-abc123")
    assert main(["compare", "study", "other"]) == 0
    assert "the report: comparison-study-other/report.html" in capsys.readouterr().out
    assert not (study / "comparison").exists()


def test_runs_of_different_data_have_no_winner(make_runs: Make, capsys: Printed) -> None:
    make_runs("lstm", [5.6, 5.7], data={"name": "a", "fingerprint": "1"})
    study = make_runs("gru", [6.6, 6.8], data={"name": "b", "fingerprint": "2"})
    assert main(["compare", str(study)]) == 0
    said = capsys.readouterr().out
    assert "No row is the best here" in said
    assert "has the lowest" not in said
    assert "has the lowest" not in (study / "comparison" / "comparison.md").read_text()


def test_what_a_terminal_would_obey_is_written_out(
    make_run: Make, tmp_path: Path, capsys: Printed
) -> None:
    for seed in (1, 2):
        make_run("cell\x1b[2J", seed, name="\x1b]0;owned\x07", folder=f"st\x9budy/{seed}")
    assert main(["compare", str(tmp_path / "study" / "st\x9budy")]) == 0
    said = capsys.readouterr().out
    files = (tmp_path / "study" / "st\x9budy" / "comparison").glob("comparison.*")
    assert not {"\x1b", "\x07", "\x9b"} & set(said)
    for file in files:
        assert not {"\x1b", "\x07"} & set(file.read_text(encoding="utf-8")), file
    assert "cell\\x1b[2J" in said


def test_equivalence_is_a_column_and_a_part_of_the_answer(study: Path, capsys: Printed) -> None:
    assert main(["compare", str(study), "--equivalence", "1%"]) == 0
    said = capsys.readouterr().out
    assert "within 1 %" in said
    assert "within 1 % with probability 77 %." in said


@pytest.mark.parametrize("margin", ["one", "0", "1 percent"])
def test_a_margin_that_is_none_is_refused(study: Path, margin: str, capsys: Printed) -> None:
    assert main(["compare", str(study), "--equivalence", margin]) == 2
    error = capsys.readouterr().err
    assert f"equivalence={margin}: must be above 0" in error
    assert error.count("\n") == 1
    assert not (study / "comparison").exists()


def test_across_data_needs_several_data_sets(study: Path, capsys: Printed) -> None:
    assert main(["compare", str(study), "--across", "data"]) == 2
    assert "every run is of sotu:ffffff; compare it without --across" in capsys.readouterr().err
