import io
import json
import time
from pathlib import Path

from rich.console import Console

from unrolled.runs.progress import Progress
from unrolled.runs.record import Record
from unrolled.sweeps.display import Display


def console(terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=120)


def printed(screen: Console) -> str:
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue()


def finished(folder: Path, status: str = "finished") -> None:
    record = Record(
        identity="i", study="s", name=folder.name, seed=1, config={}, status=status,
        metrics={"validation/perplexity": 4.5, "test/perplexity": 4.25},
        timing={"total_seconds": 12.0},
    )  # fmt: skip
    if status == "failed":
        record.error = {"type": "ValueError", "message": "no\nsecond line", "traceback": ""}
    record.write(folder)
    Progress(status).write(folder)


def test_each_run_that_ended_is_told_once(tmp_path: Path) -> None:
    screen = console(terminal=False)
    with Display([tmp_path], screen, total=3, since=time.time() - 1) as display:
        finished(tmp_path / "a")
        display.update()
        display.update()
        finished(tmp_path / "b", "failed")
        Progress("skipped").write(tmp_path / "c")
        Progress("training", step=5, total_steps=10).write(tmp_path / "d")
    lines = printed(screen).splitlines()
    assert lines == [
        "[1/3] a  validation/perplexity 4.5  test/perplexity 4.25  12 s",
        "[2/3] b  failed  no",
        "[3/3] c  skipped, it is finished already",
    ]


def test_a_terminal_shows_a_line_for_each_run_and_one_for_all(tmp_path: Path) -> None:
    screen = console(terminal=True)
    with Display([tmp_path], screen, total=4, since=time.time() - 1) as display:
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
    finished(tmp_path / "old")
    screen = console(terminal=False)
    with Display([tmp_path], screen, total=1, since=time.time() + 1) as display:
        display.update()
    assert printed(screen) == ""


def test_a_record_being_replaced_is_waited_for(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "progress.json").write_text('{"stage": ')
    screen = console(terminal=False)
    with Display([tmp_path], screen, total=1, since=0) as display:
        display.update()
    assert display.ended == {}


def test_what_was_given_up_or_cut_off_or_went_on_is_told(tmp_path: Path) -> None:
    screen = console(terminal=False)
    with Display([tmp_path], screen, total=3, since=time.time() - 1) as display:
        for name, kind in (("a", "PrunedError"), ("b", "Killed")):
            run = Record(
                identity="i", study="s", name=name, seed=1, config={}, status="failed",
                error={"type": kind, "message": f"by {kind}", "traceback": ""},
            )  # fmt: skip
            run.write(tmp_path / name)
            Progress(run.state).write(tmp_path / name)
            display.update()
        finished(tmp_path / "c")
        whole = json.loads((tmp_path / "c" / "record.json").read_text())
        whole["timing"]["continued"] = [{"step": 120, "at": ""}]
        (tmp_path / "c" / "record.json").write_text(json.dumps(whole))
    assert printed(screen).splitlines() == [
        "[1/3] a  by PrunedError",
        "[2/3] b  interrupted  by Killed",
        "[3/3] c  validation/perplexity 4.5  test/perplexity 4.25  12 s  continued from step 120",
    ]
