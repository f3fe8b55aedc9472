"""Many runs: one sweep by Unrolled against the script run once for each seed.

Both use the machine as they do by themselves: the sweep as many processes as it likes, the script
as many threads as PyTorch takes. Seconds are from the command to the end, evaluations included.
"""

import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers import unrolled_run
from benchmarks.peers.contest import CONTESTANTS, PLAIN
from benchmarks.peers.job import Job
from benchmarks.peers.process import ContestantError, Watched, environment, watch


def sweep(job_of: Callable[[int], Job], runs: int, repeats: int, cache: Path) -> dict[str, Any]:
    """Both in turn, ``repeats`` times.

    Raises:
        ContestantError: a command failed.
    """
    pairs = []
    sides = {"unrolled": by_unrolled, PLAIN: one_after_the_other}
    for repeat in range(repeats):
        order = list(sides) if repeat % 2 == 0 else list(sides)[::-1]
        pair = {}
        for name in order:
            with tempfile.TemporaryDirectory() as temporary:
                pair[name] = sides[name](job_of, runs, Path(temporary), cache)
            seconds = sum(one.seconds for one in pair[name])
            print(f"  {name}: {runs} runs in {seconds:,.1f} s", flush=True)
        pairs.append(
            {
                name: {
                    "seconds": sum(one.seconds for one in pair[name]),
                    "peak_bytes": max(one.peak_bytes for one in pair[name]),
                }
                for name in sides
            }
        )
    medians = {
        name: {
            key: statistics.median(pair[name][key] for pair in pairs)
            for key in ("seconds", "peak_bytes")
        }
        for name in sides
    }
    ratio = statistics.median(
        pair[PLAIN]["seconds"] / pair["unrolled"]["seconds"] for pair in pairs
    )
    return {"runs": runs, **medians, "speed_ratio": ratio, "pairs": pairs}


def by_unrolled(
    job_of: Callable[[int], Job],
    runs: int,
    folder: Path,
    cache: Path,
    extra: Sequence[str] = (),
) -> list[Watched]:
    """One command that trains every seed.

    Args:
        folder: gets the runs.
        extra: overrides besides.

    Raises:
        ContestantError: the command failed, or made another number of runs.
    """
    seeds = ",".join(str(seed) for seed in range(1, runs + 1))
    command = unrolled_run.command(job_of(1), folder, None, ("-m", f"seed={seeds}", *extra))
    env = environment(None, UNROLLED_CACHE=str(cache))
    seen = watch([sys.executable, *command], env, folder / "log.txt")
    made = unrolled_run.reports(folder)
    if len(made) != runs:
        raise ContestantError(f"a sweep of {runs} runs made {len(made)}")
    return [seen]


def one_after_the_other(
    job_of: Callable[[int], Job], runs: int, folder: Path, cache: Path
) -> list[Watched]:
    """The script once for each seed, as a loop in a shell runs it; ``cache`` is not used.

    Raises:
        ContestantError: one failed.
    """
    module = str(CONTESTANTS[PLAIN].module)
    return [
        watch(
            [sys.executable, "-m", module, job_of(seed).to_json(), str(folder / "report.json")],
            environment(None),
            folder / "log.txt",
        )
        for seed in range(1, runs + 1)
    ]
