import io
import json
import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf
from rich.console import Console

from unrolled.runs.progress import Progress
from unrolled.runs.record import Record
from unrolled.runs.spec import RunSpec
from unrolled.runs.task import Metric, TaskDescription
from unrolled.sweeps import display as module
from unrolled.sweeps.display import Display
from unrolled.training.run import Outcome

TASK = TaskDescription(
    "adding",
    "error",
    {"error": Metric("min", format=".2f"), "loss": Metric("min")},
    "validation/loss",
).to_dict()


def console(terminal: bool = False) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=120)


def printed(screen: Console) -> str:
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue()


def spec(folder: Path) -> RunSpec:
    return RunSpec(OmegaConf.create({}), "i", folder.parent, folder.name)


def ended(
    folder: Path, status: str = "finished", error: tuple[str, str] | None = None, **changes: Any
) -> Path:
    """Leave in a folder what a run leaves that has ended."""
    record = Record(
        identity="i", study="s", name=folder.name, seed=1, config={}, status=status, task=TASK,
        metrics={"validation/error": 4.5, "test/error": 4.25, "test/loss": 1.0},
        timing={"total_seconds": 12.0},
    )  # fmt: skip
    if error is not None:
        record.error = {"type": error[0], "message": error[1], "traceback": ""}
    for name, value in changes.items():
        setattr(record, name, value)
    record.write(folder)
    Progress(record.state).write(folder)
    return folder


def test_each_run_is_told_once_with_its_primary_metric(tmp_path: Path) -> None:
    screen = console()
    with Display(screen, total=4) as display:
        for name in "abcd":
            display.begin(spec(tmp_path / name))
        ended(tmp_path / "a")
        display.update()
        display.end(spec(tmp_path / "a"), Outcome("finished", tmp_path / "a"))
        display.update()
        display.end(spec(tmp_path / "b"), Outcome("failed", None, "no\nsecond line"))
        display.end(spec(tmp_path / "c"), Outcome("skipped", tmp_path / "c"))
        busy = "outputs: another process is working on this run"
        display.end(spec(tmp_path / "d"), Outcome("busy", None, busy))
    assert printed(screen).splitlines() == [
        "[1/4] a  validation/error 4.50  test/error 4.25  12 s",
        "[2/4] b  failed  no",
        "[3/4] c  skipped, it is finished already",
        "[4/4] d  busy  outputs: another process is working on this run",
    ]


def test_runs_of_another_process_are_none_of_a_sweep_s_own(tmp_path: Path) -> None:
    screen = console()
    with Display(screen, total=2) as display:
        display.begin(spec(tmp_path / "mine"))
        ended(tmp_path / "theirs")
        # Another sweep has made it, while ours waited for its turn.
        ended(tmp_path / "mine")
        display.update()
        assert printed(screen) == ""
        display.end(spec(tmp_path / "mine"), Outcome("skipped", tmp_path / "mine"))
    assert printed(screen) == "[1/2] mine  skipped, it is finished already\n"


def test_runs_in_a_folder_that_is_followed_are_told_once(tmp_path: Path) -> None:
    screen = console()
    with Display(screen, total=3, follow=[tmp_path]) as display:
        ended(tmp_path / "a")
        display.update()
        # A launcher that tells of its runs late, and what it alone knows of.
        display.end(spec(tmp_path / "a"), Outcome("finished", tmp_path / "a"))
        display.end(spec(tmp_path / "b"), Outcome("failed", None, "earlier: ValueError: no"))
        # Skipped by a sweep that was started at the same time.
        Progress("skipped").write(tmp_path / "a")
        ended(tmp_path / "c", "failed", ("Killed", "by hand"))
    assert printed(screen).splitlines() == [
        "[1/3] a  validation/error 4.50  test/error 4.25  12 s",
        "[2/3] b  failed  earlier: ValueError: no",
        "[3/3] c  interrupted  by hand",
    ]


def test_what_was_given_up_or_went_on_is_told(tmp_path: Path) -> None:
    screen = console()
    with Display(screen, total=None, follow=[tmp_path]) as display:
        ended(tmp_path / "a", "failed", ("PrunedError", "given up at step 5"))
        display.update()
        ended(tmp_path / "b", timing={"total_seconds": 1.0, "continued": [{"step": 1200}]})
    assert printed(screen).splitlines() == [
        "a  given up at step 5",
        "b  validation/error 4.50  test/error 4.25  1 s  continued from step 1,200",
    ]


def test_a_terminal_shows_a_line_for_each_run_and_one_for_all(tmp_path: Path) -> None:
    screen = console(terminal=True)
    with Display(screen, total=4) as display:
        display.begin(spec(tmp_path / "d"))
        Progress(
            "training", step=50, total_steps=100, metric="validation/loss", value=1.25,
            tokens_per_second=1234.0,
        ).write(tmp_path / "d")  # fmt: skip
        display.update()
        display.bars.refresh()
    text = printed(screen)
    for shown in ("step 50/100", "validation/loss 1.25", "1,234 tokens/s", "0 of 4 runs"):
        assert shown in text


def test_what_was_there_before_does_not_count(tmp_path: Path) -> None:
    ended(tmp_path / "old")
    screen = console()
    with Display(screen, total=1, follow=[tmp_path], since=time.time() + 1) as display:
        display.update()
    assert printed(screen) == ""


def test_without_a_terminal_each_run_under_way_has_a_line_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_REPORT", 0.4)
    monkeypatch.setattr(module, "REPORT_INTERVAL", 0.4)
    monkeypatch.setattr(module, "INTERVAL", 60.0)
    screen = console()
    progress = Progress("training", step=1200, total_steps=5000, metric="validation/loss")
    progress.value, progress.tokens_per_second = 1.25, 1234.0
    with Display(screen, total=2) as display:
        display.begin(spec(tmp_path / "a"))
        progress.write(tmp_path / "a")
        display.update()
        assert printed(screen) == ""
        for _ in range(2):
            time.sleep(0.45)
            display.update()
            display.update()
        display.end(spec(tmp_path / "a"), Outcome("interrupted", None, "by hand"))
        time.sleep(0.45)
        display.update()
    line = "a  step 1,200/5,000  validation/loss 1.25  1,234 tokens/s"
    assert printed(screen).splitlines() == [line, line, "[1/2] a  interrupted  by hand"]


def test_infinite_figures_are_shown_as_such(tmp_path: Path) -> None:
    for terminal in (True, False):
        folder = tmp_path / str(terminal)
        screen = console(terminal)
        with Display(screen, total=1) as display:
            display.begin(spec(folder))
            Progress("training", step=1, metric="validation/loss", value=math.inf).write(folder)
            display.update()
            display.bars.refresh()
            ended(folder, metrics={"validation/error": math.inf, "test/error": -math.inf})
            display.end(spec(folder), Outcome("finished", folder))
        assert "validation/error inf  test/error -inf" in printed(screen)
        assert ("validation/loss inf" in printed(screen)) == terminal


ODD: dict[str, Callable[[dict[str, Any]], Any]] = {
    "no figures": lambda record: record["metrics"].update({"test/error": None}),
    "words": lambda record: record["metrics"].update({"test/error": "high"}),
    "no time": lambda record: record.update({"timing": {"total_seconds": "long", "continued": 3}}),
    "no task": lambda record: record.update({"task": {}}),
    "no format": lambda record: record["task"]["metrics"]["error"].update({"format": "no"}),
    "no error": lambda record: record.update({"status": "failed", "error": {"type": 3}}),
    "no record": lambda record: record.clear(),
}


@pytest.mark.parametrize("what", ODD)
@pytest.mark.parametrize("follow", [True, False])
def test_an_odd_record_disturbs_nothing(
    tmp_path: Path, what: str, follow: bool, caplog: pytest.LogCaptureFixture
) -> None:
    folder = ended(tmp_path / "a")
    record = json.loads((folder / "record.json").read_text())
    ODD[what](record)
    (folder / "record.json").write_text(json.dumps(record))
    screen = console()
    with Display(screen, total=2, follow=[tmp_path] if follow else (), since=0) as display:
        display.begin(spec(folder))
        display.end(spec(folder), Outcome("finished", folder))
        display.end(spec(tmp_path / "b"), Outcome("failed", None, "no"))
    lines = printed(screen).splitlines()
    assert [line[:8] for line in lines] == ["[1/2] a ", "[2/2] b "]
    assert caplog.records == []


@pytest.mark.parametrize(
    "written",
    [
        '{"stage": ',
        "[]",
        '{"stage": null}',
        '{"stage": "training", "step": null, "total_steps": "x", "value": [], "updated": 9e99}',
        '{"stage": "training", "tokens_per_second": "fast", "metric": 3, "updated": 9e99}',
        '{"stage": "training", "other": 1, "updated": "inf"}',
    ],
)
def test_odd_progress_disturbs_nothing(
    tmp_path: Path, written: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "progress.json").write_text(written)
    for terminal in (True, False):
        screen = console(terminal)
        with Display(screen, total=1, follow=[tmp_path], since=0) as display:
            display.update()
        assert display.ended == 0
        assert "Error" not in printed(screen)
    assert caplog.records == []


def test_control_characters_of_names_and_messages_are_written_out(tmp_path: Path) -> None:
    screen = console()
    with Display(screen, total=1) as display:
        display.end(spec(tmp_path / "a\x1b[2J"), Outcome("failed", None, "[red]\x1b]0;x\x07"))
    assert printed(screen) == "a\\x1b[2J  failed  [red]\\x1b]0;x\\x07\n"


class Broken(io.StringIO):
    """A terminal that has gone."""

    def write(self, text: str) -> int:
        raise ValueError("I/O operation on closed file")


def test_a_view_that_fails_says_so_once_and_disturbs_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.WARNING),
        Display(Console(file=Broken(), force_terminal=True), total=2) as display,
    ):
        for name in "ab":
            display.begin(spec(tmp_path / name))
            display.end(spec(tmp_path / name), Outcome("failed", None, "no"))
    (record,) = caplog.records
    assert "the live view stopped, the runs go on (ValueError: I/O" in record.getMessage()
