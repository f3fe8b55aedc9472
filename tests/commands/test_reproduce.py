"""A run made again from its record, and what keeps it from being made."""

import io
import json
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from unrolled.cli import main
from unrolled.commands.reproduce import Reproduction, print_reproduction, reproduce
from unrolled.errors import ConfigError, RunError
from unrolled.runs.record import read_record


@pytest.fixture
def stored(trained: Path, tmp_path: Path) -> Path:
    """A copy of a finished run, for a test to change."""
    folder = tmp_path / "outputs" / "default" / trained.name
    shutil.copytree(trained, folder)
    return folder


def change(folder: Path, key: str, value: object) -> None:
    record = json.loads((folder / "record.json").read_text())
    *parents, last = key.split(".")
    node = record
    for parent in parents:
        node = node[parent]
    node[last] = value
    (folder / "record.json").write_text(json.dumps(record))


def test_a_run_comes_out_identical_and_is_trained_anew(
    stored: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = reproduce(stored)
    assert first.verdict == "identical"
    assert first.environment == {}
    assert first.folder.parent.name == "reproduced-default"
    (first.folder / "earlier").touch()
    assert main(["reproduce", str(stored)]) == 0
    assert not (first.folder / "earlier").exists()
    text = capsys.readouterr().out
    assert "to the last digit" in text
    # The record is all that it takes.
    assert read_record(first.folder).model == read_record(stored).model


def test_what_differs_is_said(stored: Path) -> None:
    recorded = read_record(stored)
    change(stored, "metrics.test/loss", recorded.metrics["test/loss"] * 1.001)
    change(stored, "environment.torch", "1.0")
    change(stored, "environment.packages.numpy", "1.0")
    close = reproduce(stored)
    assert close.verdict == "within tolerance"
    assert list(close.differences) == ["test/loss"]
    assert set(close.environment) == {"torch", "numpy"}
    assert reproduce(stored, tolerance=1e-6).verdict == "different"
    assert main(["reproduce", str(stored), "--tolerance", "1e-6", "--json"]) == 1


def test_a_solved_width_is_the_record_s(stored: Path) -> None:
    change(stored, "config.budget.parameters", 10**6)
    result = reproduce(stored)
    assert result.verdict == "identical"


def test_other_data_is_refused(stored: Path, trained: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("two dogs saw green hills while rain fell.\n" * 300, encoding="utf-8")
    change(stored, "config.dataset.path", str(other))
    with pytest.raises(RunError, match="its data is not what it was"):
        reproduce(stored)
    assert not (tmp_path / "outputs" / "reproduced-default").exists()


def test_an_unfinished_run_is_refused(stored: Path) -> None:
    change(stored, "status", "failed")
    change(stored, "error", {"type": "ValueError", "message": "no", "traceback": ""})
    with pytest.raises(RunError, match="failed, so there is nothing to hold"):
        reproduce(stored)


@pytest.mark.parametrize("group", ["dataset", "tokenizer", "cell", "optimizer", "scheduler"])
def test_code_that_a_record_names_is_not_run(stored: Path, tmp_path: Path, group: str) -> None:
    (tmp_path / "evil.py").write_text("from pathlib import Path\nPath('ran').touch()\n")
    change(stored, f"config.{group}._target_", "evil.Thing")
    with pytest.raises(ConfigError, match="--trust evil"):
        reproduce(stored)
    assert not (tmp_path / "ran").exists()


def test_the_table_and_the_verdict() -> None:
    figures: dict[str, tuple[float | None, float | None]] = {
        "test/loss": (1.0, 1.5),
        "test/accuracy": (0.5, 0.5),
        "validation/loss at step 10": (2.0, None),
    }
    console = Console(file=io.StringIO(), width=80)
    result = Reproduction("run", Path("new"), figures, {"torch": ("2.0", "2.1")})
    print_reproduction(result, console)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "50.00%" in text
    assert "torch: 2.0 then, 2.1 now" in text
    assert "different: 2 of 3 figures by more than 1.00%" in text
