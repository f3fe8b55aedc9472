"""What our launcher gains over Hydra's own, and what it costs a run beyond its training.

    python -m benchmarks.sweeps [--repeats 3] [--experiment rnnlm]

The same sweep under `hydra/launcher=local` and `hydra/launcher=basic`, in turns and into fresh
folders, as whole commands from start to end; the ratio is the median over pairs. Then runs of a
single step and a single batch of evaluation: what each further one adds to a sweep, times the runs
at a time, is what a run costs besides its training.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from unrolled.recurrence.processor import cpu_name
from unrolled.runs.files import write_json
from unrolled.runs.record import find_runs, read_record
from unrolled.training.threads import available_cores

LAUNCHERS = ("local", "basic")
MANY = 9


def timed(*overrides: str) -> tuple[float, float]:
    """A sweep from the command to its end, in a fresh folder.

    Returns:
        The seconds it took, and the sum of its runs' own seconds of training.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "unrolled", "train", *overrides]
        started = time.perf_counter()
        subprocess.run(
            [*command, f"paths.outputs={folder}"],
            check=True,
            stdout=subprocess.DEVNULL,
            # A setting of the caller's would decide how many threads each launcher gets.
            env={name: value for name, value in os.environ.items() if "NUM_THREADS" not in name},
        )
        seconds = time.perf_counter() - started
        training = sum(read_record(run).timing["seconds"] for run in find_runs(Path(folder)))
    return seconds, training


def compare(experiment: str, repeats: int) -> dict[str, Any]:
    """Each launcher's seconds, in turns, and the ratio of each pair."""
    rows = []
    for repeat in range(repeats):
        # The first of a pair changes, since a machine may be warming up or slowing down.
        order = LAUNCHERS if repeat % 2 == 0 else LAUNCHERS[::-1]
        row = {
            name: timed(f"experiment={experiment}", f"hydra/launcher={name}")[0] for name in order
        }
        row["ratio"] = row["local"] / row["basic"]
        print({name: round(value, 3) for name, value in row.items()}, flush=True)
        rows.append(row)
    return {"pairs": rows, "ratio": statistics.median(row["ratio"] for row in rows)}


def overhead(repeats: int) -> float:
    """Seconds of one process that a further run costs besides training."""
    workers = available_cores()
    costs = []
    for _ in range(repeats):
        few, trained_few = timed("-m", "trainer=one_batch", *seeds(workers))
        many, trained_many = timed("-m", "trainer=one_batch", *seeds(workers * MANY))
        more = (many - few) * workers - (trained_many - trained_few)
        costs.append(more / (workers * (MANY - 1)))
    return statistics.median(costs)


def seeds(count: int) -> list[str]:
    """A sweep over so many seeds."""
    return [f"seed={','.join(map(str, range(1, count + 1)))}"]


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--experiment", default="rnnlm")
    parser.add_argument("--output", type=Path, help="where to write the result, as JSON")
    options = parser.parse_args()
    result = {
        "overhead_seconds": overhead(options.repeats),
        **compare(options.experiment, options.repeats),
        "experiment": options.experiment,
        "cpu": cpu_name(),
        "cores": available_cores(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "date": datetime.now(UTC).date().isoformat(),
    }
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        write_json(options.output, result)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
