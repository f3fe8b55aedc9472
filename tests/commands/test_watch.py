"""Following a sweep: the one that is named, or the one under way, or the latest."""

import io
import json
import threading
import time
from pathlib import Path

import pytest
from rich.console import Console

from unrolled.cli import main
from unrolled.commands.watch import watch
from unrolled.errors import RunError
from unrolled.runs.processes import this_process
from unrolled.runs.progress import Progress


def announce(study: Path, *, started: float = 0.0, ended: float | None = 1.0) -> None:
    study.mkdir(parents=True, exist_ok=True)
    state = {"jobs": 1, "started": started, "ended": ended, "process": this_process()}
    (study / "sweep.json").write_text(json.dumps(state))


def watched(folder: Path) -> str:
    text = io.StringIO()
    watch(folder, Console(file=text, width=120))
    return text.getvalue()


def test_without_a_folder_the_latest_sweep_is_followed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    announce(Path("outputs/old"), started=1.0)
    announce(Path("outputs/new"), started=2.0)
    Progress("skipped").write(Path("outputs/new/a"))
    Progress("skipped").write(Path("outputs/old/b"))
    assert main(["runs", "--watch"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "following outputs/new",
        "a  skipped, it is finished already",
    ]


def test_a_sweep_under_way_goes_before_a_later_one_and_is_followed_to_its_end(
    tmp_path: Path,
) -> None:
    announce(tmp_path / "running", started=1.0, ended=None)
    announce(tmp_path / "later", started=2.0)

    def end() -> None:
        time.sleep(1)
        Progress("skipped").write(tmp_path / "running" / "a")
        announce(tmp_path / "running", started=1.0)

    threading.Thread(target=end).start()
    assert "a  skipped" in watched(tmp_path)


def test_a_sweep_over_several_studies_is_followed_in_all_of_them(tmp_path: Path) -> None:
    for name in ("a", "b"):
        announce(tmp_path / name, started=3.0)
        Progress("skipped").write(tmp_path / name / f"run-{name}")
    announce(tmp_path / "c", started=2.0)
    lines = watched(tmp_path).splitlines()
    assert len(lines) == 3
    assert {"run-a  skipped, it is finished already", "run-b  skipped, it is finished already"} < {
        *lines
    }


def test_a_study_that_is_named_is_followed(tmp_path: Path) -> None:
    announce(tmp_path / "a")
    announce(tmp_path / "b", started=5.0)
    assert watched(tmp_path / "a") == ""


def test_where_no_sweep_was_started_is_said(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such folder"):
        watched(tmp_path / "nowhere")
    (tmp_path / "study").mkdir()
    with pytest.raises(RunError, match="no sweep was started there; name the folder of a study"):
        watched(tmp_path)
