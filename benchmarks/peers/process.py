"""A process from its command to its end: seconds, memory of its whole tree, its first step."""

import os
import re
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# Seconds between two looks at the process.
INTERVAL = 0.02
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
KIB = 1024
MEMORY = re.compile(r"^Vm(RSS|HWM|Size):\s+(\d+) kB$", re.MULTILINE)


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
    peak, first_step = 0, None
    with log.open("wb") as out:
        started, clock = time.time(), time.perf_counter()
        process = subprocess.Popen(command, env=dict(env), stdout=out, stderr=out)
        try:
            while process.poll() is None:
                peak = max(peak, _held(process.pid))
                if first_step_done is not None and first_step is None and first_step_done():
                    first_step = time.time()
                time.sleep(INTERVAL)
        finally:
            # Whoever interrupts the benchmark leaves no training behind.
            if process.poll() is None:
                process.kill()
                process.wait()
    seconds = time.perf_counter() - clock
    if process.returncode:
        end = log.read_text("utf-8", "replace")[-2000:]
        raise ContestantError(f"exit code {process.returncode} of {' '.join(command)}\n{end}")
    return Watched(started, seconds, peak, first_step)


def _held(pid: int) -> int:
    """Bytes that a process and its descendants hold now, or the most that one of them held."""
    total, largest, pending = 0, 0, [(pid, 0)]
    while pending:
        process, space = pending.pop()
        folder = Path("/proc") / str(process)
        try:
            status = (folder / "status").read_text()
            held = {name: int(kib) * KIB for name, kib in MEMORY.findall(status)}
            for task in (folder / "task").iterdir():
                children = (task / "children").read_text().split()
                pending += [(int(child), held.get("Size", 0)) for child in children]
        except OSError:
            # It has ended since it was listed; or the system has no /proc, and memory is 0.
            continue
        if space and held.get("Size") == space:
            # It has yet to load its own program, and shares its parent's memory until then.
            continue
        total, largest = total + held.get("RSS", 0), max(largest, held.get("HWM", 0))
    # A peak between two looks is known of a single process, not of the sum.
    return max(total, largest)
