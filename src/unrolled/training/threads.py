"""How many threads a run computes with where nobody says."""

import os
import time
from pathlib import Path

# By which a launcher, or a person, has decided.
VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
# Seconds to watch the cores for.
SAMPLE = 0.2
STAT = Path("/proc/stat")


def available_cores() -> int:
    """The cores that this process may use; where the system does not tell, all there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def threads_to_yield() -> int | None:
    """How many threads leave busy cores to others: threads that wait for a core make all others of
    a run wait. None where the cores are idle, or the number is decided by the environment.
    """
    if any(os.environ.get(name) for name in VARIABLES):
        return None
    busy = round(busy_cores())
    return max(1, available_cores() - busy) if busy else None


def busy_cores() -> float:
    """How many of the available cores other processes keep busy now.

    Not the system's load average where the cores themselves can be watched: it remembers a run
    that has just ended.
    """
    before = _core_times()
    if before is None:
        return min(os.getloadavg()[0], float(available_cores()))
    time.sleep(SAMPLE)
    after = _core_times()
    assert after is not None
    busy = 0.0
    for core in before.keys() & after.keys():
        total = after[core][0] - before[core][0]
        busy += 1 - (after[core][1] - before[core][1]) / total if total > 0 else 0.0
    return busy


def _core_times() -> dict[int, tuple[int, int]] | None:
    """For each available core, the ticks since the start and those of them that were idle; None
    where the system does not tell."""
    try:
        lines = STAT.read_text(encoding="ascii").splitlines()
        mine = os.sched_getaffinity(0)
    except (OSError, AttributeError):
        return None
    times = {}
    for line in lines:
        name, *values = line.split()
        if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in mine:
            # user, nice, system, idle, iowait, irq, softirq, steal; guests are in user already.
            ticks = [int(value) for value in values[:8]]
            times[int(name[3:])] = (sum(ticks), ticks[3] + ticks[4])
    return times or None
