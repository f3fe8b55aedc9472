"""Locks between processes, and after a crash."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from unrolled.errors import BusyError, RunError
from unrolled.runs.locks import hold, is_held, lock_path

HOLDER = """
import sys, time
from pathlib import Path
from unrolled.runs.locks import hold
with hold(Path(sys.argv[1]), "run"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_lock_is_one_process_s_and_a_crash_lets_go_of_it(tmp_path: Path) -> None:
    path = lock_path(tmp_path, "0123456789abcdef0123")
    assert not is_held(path)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert is_held(path)
        with pytest.raises(BusyError, match="run-3: another process"), hold(path, "run-3", 0.1):
            pass
    finally:
        holder.kill()
        holder.wait()
    assert path.is_file()
    assert not is_held(path)
    with hold(path, "run-3", 0.1):
        assert is_held(path)


def test_a_lock_that_is_let_go_of_in_time_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = HOLDER.replace("time.sleep(60)", "time.sleep(0.5)")
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    started = time.monotonic()
    with hold(path, "run", 10):
        assert time.monotonic() - started < 9
    holder.wait()


def test_a_place_that_cannot_be_locked_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(RunError, match=r"cannot be locked .* put paths\.outputs on"),
        hold(tmp_path / "file" / "lock", "run"),
    ):
        pass
