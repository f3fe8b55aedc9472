import json
import math
import os
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from unrolled.errors import RunError
from unrolled.runs.files import atomic_path, remove_leftovers, write_json
from unrolled.runs.processes import this_process
from unrolled.runs.progress import PROGRESS, Progress, read_progress
from unrolled.runs.record import RECORD, SCHEMA_VERSION, Record, find_runs, read_record


def record(**fields: Any) -> Record:
    values: dict[str, Any] = {
        "identity": "3f" * 32, "study": "s", "name": "gru-seed1-3f3f3f", "seed": 1,
        "config": {"cell": {"name": "gru"}},
    }  # fmt: skip
    return Record(**{**values, **fields})


def dead_process() -> dict[str, Any]:
    """A process of this machine that has ended, and been waited for."""
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    return {"pid": child.pid, "host": socket.gethostname()}


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = record(
        status="finished",
        metrics={"test/perplexity": 78.4},
        history=[{"step": 10, "train/loss": 0.1 + 0.2}],
        timing={"seconds": 1.5},
        best={"step": 10},
    )
    written.write(tmp_path / "run")
    assert read_record(tmp_path / "run") == written


def test_numbers_that_json_lacks_are_words(tmp_path: Path) -> None:
    nested = {"a": [math.nan, {"b": math.inf}, (-math.inf, 1.5)], "c": None}
    record(metrics=nested).write(tmp_path)
    text = (tmp_path / RECORD).read_text(encoding="utf-8")
    values = json.loads(text, parse_constant=lambda name: pytest.fail(name))
    assert values["metrics"] == {"a": ["nan", {"b": "inf"}, ["-inf", 1.5]], "c": None}


def test_text_is_kept_as_it_is(tmp_path: Path) -> None:
    record(study="Übung λ").write(tmp_path)
    assert "Übung λ" in (tmp_path / RECORD).read_text(encoding="utf-8")


def test_a_failing_write_leaves_the_old_record_and_nothing_else(tmp_path: Path) -> None:
    record(status="running").write(tmp_path)
    with pytest.raises(TypeError):
        record(status="finished", model={"parameters": object()}).write(tmp_path)
    assert read_record(tmp_path).status == "running"
    assert [path.name for path in tmp_path.iterdir()] == [RECORD]


def test_a_reader_never_sees_half_a_record(tmp_path: Path) -> None:
    big = record(history=[{"step": step} for step in range(500)])
    big.write(tmp_path)
    stop = threading.Event()

    def rewrite() -> None:
        while not stop.is_set():
            big.write(tmp_path)

    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        for _ in range(60):
            assert len(read_record(tmp_path).history) == 500
    finally:
        stop.set()
        writer.join()


def test_two_threads_write_through_files_of_their_own(tmp_path: Path) -> None:
    target = tmp_path / "file"
    with atomic_path(target) as mine:
        theirs: list[Path] = []

        def other() -> None:
            with atomic_path(target) as path:
                theirs.append(path)

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert theirs != [mine]


def test_a_record_can_be_read_by_others(tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        record().write(tmp_path)
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / RECORD).stat().st_mode) == 0o644


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunError, match="file/run: cannot be written"):
        record().write(tmp_path / "file" / "run")


def test_a_missing_folder_and_a_folder_without_a_record_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="nowhere: no such run folder"):
        read_record(tmp_path / "nowhere")
    with pytest.raises(RunError, match=f"no {RECORD} in it"):
        read_record(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b'{"a": 1', b"\xff\xfe\x00", b"[]", b"3"])
def test_a_damaged_record_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / RECORD).write_bytes(content)
    with pytest.raises(RunError, match=f"{RECORD}: damaged"):
        read_record(tmp_path)


@pytest.mark.parametrize("version", [0, SCHEMA_VERSION + 1, None, "1"])
def test_a_record_of_another_version_is_refused(tmp_path: Path, version: object) -> None:
    record(schema_version=version).write(tmp_path)
    with pytest.raises(RunError, match="schema version"):
        read_record(tmp_path)


def test_a_record_that_lacks_fields_says_which(tmp_path: Path) -> None:
    write_json(tmp_path / RECORD, {"schema_version": SCHEMA_VERSION, "study": "s"})
    with pytest.raises(RunError, match="lacks config, identity, name, seed, status"):
        read_record(tmp_path)


def test_a_field_of_a_later_program_is_no_fault(tmp_path: Path) -> None:
    record().write(tmp_path)
    values = json.loads((tmp_path / RECORD).read_text())
    write_json(tmp_path / RECORD, {**values, "novelty": 1})
    assert read_record(tmp_path) == record()


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({"status": "finished"}, "finished"),
        ({"status": "failed"}, "failed"),
        ({"status": "failed", "error": {"type": "ValueError", "message": ""}}, "failed"),
        ({"status": "failed", "error": {"type": "KeyboardInterrupt"}}, "interrupted"),
        ({"status": "running"}, "interrupted"),
        ({"status": "running", "process": {"pid": 1, "host": "another machine"}}, "running"),
    ],
)
def test_the_state_follows_from_what_was_written(fields: dict[str, Any], state: str) -> None:
    assert record(**fields).state == state


def test_a_running_record_is_as_alive_as_its_process() -> None:
    assert record(process=this_process()).state == "running"
    assert record(process=dead_process()).state == "interrupted"
    finished = record(status="finished", process=dead_process())
    assert finished.state == "finished"


def test_runs_are_found_at_and_below_a_folder(tmp_path: Path) -> None:
    for name in ("b/run2", "b/run1", "a/deep/run"):
        record().write(tmp_path / name)
    (tmp_path / "empty").mkdir()
    names = [path.relative_to(tmp_path).as_posix() for path in find_runs(tmp_path)]
    assert names == ["a/deep/run", "b/run1", "b/run2"]
    assert find_runs(tmp_path / "b/run1") == [tmp_path / "b/run1"]
    assert find_runs(tmp_path / "empty") == []


def test_looking_for_runs_nowhere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="nowhere: no such folder"):
        find_runs(tmp_path / "nowhere")


def test_progress_is_read_as_it_was_written(tmp_path: Path) -> None:
    progress = Progress("training", step=3, total_steps=10, loss=2.5)
    progress.write(tmp_path)
    assert read_progress(tmp_path) == progress
    assert progress.updated > 0


@pytest.mark.parametrize("content", [None, "", "{", "[1]", '{"stage": 1}'])
def test_progress_that_is_not_there_yet_is_none(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / PROGRESS).write_text(content)
    assert read_progress(tmp_path) is None


def test_what_a_killed_process_was_writing_is_removed(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    gone = 2**22 + 1
    left = [f".record.json.{gone}.12", f"checkpoints/.last.ckpt.{gone}.12", f".conf.{gone}.3"]
    kept = [f".record.json.{os.getpid()}.12", ".locks", "record.json"]
    for name in left[:2] + kept:
        (tmp_path / name).touch()
    (tmp_path / left[2]).mkdir()
    remove_leftovers(tmp_path)
    assert not any((tmp_path / name).exists() for name in left)
    assert all((tmp_path / name).exists() for name in kept)
