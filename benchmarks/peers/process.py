"""A process from its command to its end: seconds, memory of its whole tree, its first step."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# Seconds between two looks at the memory, and at whether the first step is done.
MEMORY_INTERVAL, STEP_INTERVAL = 0.2, 0.02
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
# What ru_maxrss counts in.
KIB = 1 if sys.platform == "darwin" else 1024


class ContestantError(Exception):
    """A contestant did not come to its end."""


@dataclass
class Watched:
    """What was seen of a process.

    Attributes:
        started: when, by the clock.
        seconds: from the command to its end.
        peak_bytes: the most that it and its descendants held at once.
        first_step: by the clock; None where nobody asked, or it was not seen.
    """

    started: float
    seconds: float
    peak_bytes: int
    first_step: float | None = None


def environment(threads: int | None, **more: str) -> dict[str, str]:
    """This process's environment with so many threads for a contestant; None: as it chooses."""
    kept = {k: v for k, v in os.environ.items() if k not in THREAD_VARIABLES}
    chosen = {} if threads is None else dict.fromkeys(THREAD_VARIABLES, str(threads))
    return kept | chosen | more


def watch(
    command: Sequence[str],
    env: Mapping[str, str],
    log: Path,
    first_step_done: Callable[[], bool] | None = None,
) -> Watched:
    """Run a command to its end.

    Args:
        log: gets what the command prints.
        first_step_done: asked until it is true, for a command that does not report by itself.

    Raises:
        ContestantError: the command failed; the message has the end of what it printed.
    """
    peak, first_step, looked = 0, None, 0.0
    with log.open("wb") as out:
        started, clock = time.time(), time.perf_counter()
        process = subprocess.Popen(command, env=dict(env), stdout=out, stderr=out)
        while True:
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
            if ended:
                break
            if first_step_done is not None and first_step is None and first_step_done():
                first_step = time.time()
            now = time.perf_counter()
            if now - looked >= MEMORY_INTERVAL:
                peak, looked = max(peak, _held(process.pid)), now
            waiting = first_step_done is not None and first_step is None
            time.sleep(STEP_INTERVAL if waiting else MEMORY_INTERVAL / 4)
    seconds = time.perf_counter() - clock
    process.returncode = code = os.waitstatus_to_exitcode(status)
    if code:
        end = log.read_text("utf-8", "replace")[-2000:]
        raise ContestantError(f"exit code {code} of {' '.join(command)}\n{end}")
    # The largest single process is known exactly, the sum of several as often as it was looked at.
    return Watched(started, seconds, max(peak, usage.ru_maxrss * KIB), first_step)


def _held(pid: int) -> int:
    """Bytes that a process and its descendants hold now."""
    total, pending = 0, [pid]
    while pending:
        folder = Path("/proc") / str(pending.pop())
        try:
            total += int((folder / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            for task in (folder / "task").iterdir():
                pending += [int(child) for child in (task / "children").read_text().split()]
        except OSError:
            # It has ended since it was listed.
            continue
    return total
