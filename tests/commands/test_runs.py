import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from unrolled.cli import main

Make = Callable[..., Path]
Printed = pytest.CaptureFixture[str]


def test_failed_with_healthy_runs_says_so(make_runs: Make, capsys: Printed) -> None:
    study = make_runs("lstm", [5.0, 5.1, 5.2])
    assert main(["runs", str(study), "--failed"]) == 0
    assert capsys.readouterr().out == "none failed; 3 runs: 3 finished\n"


def test_failed_groups_what_was_stopped_by_its_cause(
    make_runs: Make, make_run: Make, capsys: Printed
) -> None:
    study = make_runs("lstm", [5.0, 5.1])
    error = {"type": "DivergedError", "message": "the loss is nan"}
    make_run("gru", 1, status="failed", error=error)
    assert main(["runs", str(study), "--failed"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("failed: gru-seed1-abc123: DivergedError: the loss is nan")
    assert "lstm" not in said
    assert main(["runs", str(study)]) == 0
    said = capsys.readouterr().out
    assert "lstm-seed1-abc123" in said
    assert "failed: gru-seed1-abc123" in said


@pytest.mark.parametrize("failed", [True, False])
def test_an_empty_folder_has_no_runs(tmp_path: Path, capsys: Printed, failed: bool) -> None:
    assert main(["runs", str(tmp_path), *["--failed"] * failed]) == 0
    assert "no runs here" in capsys.readouterr().out


def test_for_other_programs(make_runs: Make, capsys: Printed) -> None:
    study = make_runs("lstm", [5.0, 5.1])
    assert main(["runs", str(study), "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert main(["runs", str(study), "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["name"] for row in rows] == [value["name"] for value in values]
    assert list(rows[0]) == list(values[0])


def test_in_a_pipe_a_run_is_a_line(make_run: Make, tmp_path: Path, capsys: Printed) -> None:
    name = "a_cell_with_a_long_name" * 4
    make_run(name, 1)
    assert main(["runs", str(tmp_path)]) == 0
    (row,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith(name)]
    assert "100,000" in row
