"""Everything that needs a GPU, in one command and one file.

    python -m benchmarks.gpu [--quick] [--output benchmarks/results/gpu.json]

Runs the tests marked ``gpu``, the benchmarks of cells, of stacked runs and against peers
on the device, and a sweep with one, two and eight runs a GPU against the script run after run.
A part that fails is recorded with the end of what it printed, and the others go on; the exit code
is then 1. Without a device it says so, and that is no failure.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.peers.measure import Place
from benchmarks.peers.process import ContestantError
from benchmarks.peers.sweep import by_unrolled, one_after_the_other
from benchmarks.peers.texts import prepare
from benchmarks.peers.works import WORKS

from unrolled.runs.files import write_json

OUTPUT = Path("benchmarks/results/gpu.json")
ROOT = Path(__file__).parents[1]
RUNS = 16
SWEPT = "characters-lstm-100k"
SHARES = {"one run a GPU": 1, "two runs a GPU": 0.5, "eight runs a GPU": 0.125}
# The works of the peers' benchmark: small ones, where launching kernels is what costs, and words.
PEERS = ("characters-*-1x256", "characters-*-100k", "words-*-2x200", "words-lstm-2x650")
QUICK_PEERS = ("characters-lstm-1x256",)


class PartError(Exception):
    """A part of the benchmark failed."""


def tests(folder: Path, quick: bool) -> dict[str, Any]:
    """How many tests marked ``gpu`` passed, failed and were skipped.

    Raises:
        PartError: none ran.
    """
    report = folder / "tests.xml"
    command = ["-m", "pytest", "-m", "gpu", "-q", "-p", "no:cacheprovider"]
    printed = _python([*command, f"--junitxml={report}", str(ROOT / "tests")], allowed=(0, 1))
    suites = ET.parse(report).getroot().iter("testsuite")
    names = ("tests", "failures", "errors", "skipped")
    counts = dict.fromkeys(names, 0)
    for suite in suites:
        counts = {name: counts[name] + int(suite.get(name, 0)) for name in names}
    if not counts["tests"]:
        raise PartError(f"no test is marked gpu\n{printed}")
    return {**counts, "printed": printed}


def cells(folder: Path, quick: bool) -> dict[str, Any]:
    """The benchmark of cells on the device."""
    sizes = ["--sizes", "8", "--lengths", "4", "--cells", "lstm"] if quick else []
    _python(["-m", "benchmarks.cells", "--device", "cuda", "--out", str(folder), *sizes])
    return _read(folder / "cells.json")


def stacked(folder: Path, quick: bool) -> dict[str, Any]:
    """Whether several runs as one program would be faster on the device."""
    path = folder / "stacked.json"
    size = ["--sizes", "8", "--length", "4", "--repeats", "1"] if quick else ["--models", "16"]
    _python(["-m", "benchmarks.stacked", "--device", "cuda", "--output", str(path), *size])
    return _read(path)


def peers(folder: Path, quick: bool) -> dict[str, Any]:
    """The benchmark against peers on the device."""
    path = folder / "peers.json"
    command = ["-m", "benchmarks.peers", "--device", "cuda", "--output", str(path)]
    size = ["--quick", "--repeats", "1"] if quick else []
    _python([*command, "--sweeps", "0", *size, "--only", *(QUICK_PEERS if quick else PEERS)])
    return _read(path)


def sweep(folder: Path, quick: bool) -> dict[str, Any]:
    """Seconds of a sweep with one, two and eight runs a GPU, and of the script run after run."""
    work, runs = (WORKS[SWEPT].smaller(), 2) if quick else (WORKS[SWEPT], RUNS)
    vocabulary = prepare(work.text, folder / "text", limit=4000 if quick else None)
    place = Place(folder / "text", vocabulary, folder / "cache", "cuda")
    work = work.solved(vocabulary)
    found: dict[str, Any] = {**place.about(work), "runs": runs}
    for name, share in SHARES.items():
        outputs = folder / name.replace(" ", "_")
        outputs.mkdir()
        extra = (f"hydra.launcher.gpus_per_run={share}",)
        (seen,) = by_unrolled(place.job_of(work), runs, outputs, place.cache, extra)
        found[name] = {"seconds": seen.seconds, "peak_bytes": seen.peak_bytes}
    script = one_after_the_other(place.job_of(work), runs, folder, place.cache)
    found["script"] = {"seconds": sum(one.seconds for one in script)}
    for name in SHARES:
        found[name]["speed_ratio"] = found["script"]["seconds"] / found[name]["seconds"]
    return found


PARTS: dict[str, Callable[[Path, bool], dict[str, Any]]] = {
    "tests": tests,
    "cells": cells,
    "stacked": stacked,
    "peers": peers,
    "sweep": sweep,
}


def measure(parts: Sequence[str], quick: bool) -> dict[str, Any]:
    """Each part's result, or its error."""
    found: dict[str, Any] = {}
    for name in parts:
        started = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            try:
                found[name] = PARTS[name](Path(folder), quick)
            except (PartError, ContestantError) as error:
                found[name] = {"error": str(error)}
        found[name]["seconds"] = time.perf_counter() - started
        said = "failed" if failed(found[name]) else "done"
        print(f"{name}: {said} after {found[name]['seconds']:.0f} s", flush=True)
    return found


def failed(part: dict[str, Any]) -> bool:
    """Whether a part ended with an error, or a test of it failed."""
    return "error" in part or bool(part.get("failures") or part.get("errors"))


def _python(arguments: Sequence[str], allowed: Sequence[int] = (0,)) -> str:
    """What Python printed.

    Raises:
        PartError: its exit code is none of those allowed.
    """
    command = [sys.executable, *arguments]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    end = done.stdout[-2000:]
    if done.returncode not in allowed:
        raise PartError(f"exit code {done.returncode} of {' '.join(command)}\n{end}")
    return end


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return content


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 1 if a part fails."""
    parser = argparse.ArgumentParser(prog="benchmarks.gpu", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that all works")
    parser.add_argument("--output", type=Path, default=OUTPUT, help=str(OUTPUT))
    options = parser.parse_args(arguments)
    import torch

    if not torch.cuda.is_available():
        print("PyTorch sees no CUDA device on this machine, so nothing was run.")
        return 0
    from unrolled.training.environment import describe_environment

    found = measure(options.only, options.quick)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    about = {
        "environment": describe_environment(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_json(options.output, {**about, **found})
    print(f"wrote {options.output}")
    return 1 if any(failed(part) for part in found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
