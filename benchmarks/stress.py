"""A sweep that is killed again and again, and restarted until it is done, against one left alone.

    python -m benchmarks.stress [--kills 50] [--steps 1200] [--seed 1] [--output FILE.json]

Each round sweeps two cells over two seeds twice: once undisturbed, and once with a process of it
(the command, the server that forks its runs, or a run) killed by SIGKILL at a random moment, the
command typed again whenever it has ended. In between, a record is cut off by hand, and a disk is
full at a checkpoint (a limit on the size of files stands for it). At the end, every run of the two
must be the same to the last bit: metrics, curves, weights, optimizer, logs; each run is there
once, was not touched after it had finished, and nothing half written is left.
"""

import argparse
import json
import os
import platform
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from unrolled.runs.files import write_json
from unrolled.runs.record import Record, read_record
from unrolled.training.checkpoints import best_checkpoint, read_content

WORDS = (
    "cat",
    "dog",
    "mat",
    "hill",
    "rain",
    "green",
    "sat",
    "ran",
    "fell",
    "saw",
    "on",
    "the",
    "a",
)
OVERRIDES = [
    "dataset=text",
    "model.embedding_size=8",
    "model.hidden_size=16",
    "model.layers=2",
    "model.dropout=0.2",
    "model.zoneout=0.1",
    "scheduler=plateau",
    "scheduler.patience=0",
    "task.batch_size=8",
    "task.sequence_length=16",
    "task.sample.length=20",
    "trainer.validate_every_steps=40",
    "trainer.log_every_steps=10",
    "trainer.checkpoint_every_steps=15",
    "cell=lstm,gru",
]
KINDS = ("command", "server", "run")
# Seconds that a sweep is left alone for at most, before something of it is killed.
LONGEST = 6.0
# A checkpoint of these models is larger, everything else is smaller.
FULL = 30_000


class Sweep:
    """One command line, typed as often as it takes.

    Args:
        earlier: how often each kind of process was killed in other sweeps.

    Attributes:
        kills: how often each was in this one.
        damage: how often a disk was full, and a record cut off.
    """

    def __init__(
        self,
        folder: Path,
        seeds: list[int],
        steps: int,
        chooser: random.Random,
        earlier: Counter[str],
    ) -> None:
        self.earlier = earlier
        self.folder = folder
        self.own = [f"seed={','.join(map(str, seeds))}", f"trainer.max_steps={steps}"]
        self.chooser = chooser
        self.kills: Counter[str] = Counter()
        self.damage: Counter[str] = Counter()
        self.starts = 0
        self.finished: dict[str, int] = {}

    def run(self, outputs: str, kills: int) -> None:
        """Run the sweep to its end, with so many kills on the way as far as it lasts."""
        while True:
            full = kills > sum(self.kills.values()) and self.chooser.random() < 0.15
            before = sum(self.kills.values())
            process = self.start(outputs, full)
            while kills > sum(self.kills.values()):
                if self._ends(process, self.chooser.uniform(0.5, LONGEST)):
                    break
                self._kill(process)
            if process.wait() == 0:
                return
            self._note(outputs)
            if not full and sum(self.kills.values()) == before:
                end = (self.folder / f"{outputs}.log").read_text(encoding="utf-8")[-2000:]
                raise AssertionError(f"a sweep that was left alone did not finish:\n{end}")
            if kills and self.chooser.random() < 0.3:
                self._cut_a_record(outputs)

    def start(self, outputs: str, full: bool = False) -> "subprocess.Popen[bytes]":
        """Type the command."""

        def limited() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (FULL, FULL))

        self.starts += 1
        self.damage["full disk"] += full
        command = [sys.executable, "-m", "unrolled", "train", "-m", *OVERRIDES]
        command += [*self.own, "dataset.path=text.txt"]
        command += [f"paths.outputs={outputs}", "paths.cache=cache"]
        log = (self.folder / f"{outputs}.log").open("ab")
        return subprocess.Popen(
            command,
            cwd=self.folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=limited if full else None,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def _ends(self, process: "subprocess.Popen[bytes]", seconds: float) -> bool:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _kill(self, process: "subprocess.Popen[bytes]") -> None:
        """Kill the command, the server of its runs, or a run: each kind in its turn."""
        so_far = self.earlier + self.kills
        fewest = min(so_far[kind] for kind in KINDS)
        kind = self.chooser.choice([kind for kind in KINDS if so_far[kind] == fewest])
        while not (pids := victims(process.pid)[kind]):
            # A sweep that has only begun has no server and no runs yet.
            if self._ends(process, self.chooser.uniform(0.1, 1.0)):
                return
        try:
            os.kill(self.chooser.choice(pids), signal.SIGKILL)
        except ProcessLookupError:
            return
        self.kills[kind] += 1

    def _note(self, outputs: str) -> None:
        """Remember when each finished run's record was written: it must not be again."""
        for name, record in records(self.folder / outputs):
            written = (self.folder / outputs / "default" / name / "record.json").stat().st_mtime_ns
            if record is not None and record.state == "finished":
                before = self.finished.setdefault(name, written)
                if before != written:
                    raise AssertionError(f"{name} was made again after it had finished")

    def _cut_a_record(self, outputs: str) -> None:
        """Cut off the record of a run that is not finished, as a person or a bad disk might."""
        there = [
            name
            for name, record in records(self.folder / outputs)
            if record is not None and record.state != "finished"
        ]
        if there:
            name = self.chooser.choice(there)
            path = self.folder / outputs / "default" / name / "record.json"
            path.write_bytes(path.read_bytes()[: self.chooser.randrange(200)])
            self.damage["cut record"] += 1


def victims(command: int) -> dict[str, list[int]]:
    """The processes of a sweep, of each kind."""
    found: dict[str, list[int]] = {"command": [command], "server": [], "run": []}
    for child in children(command):
        if runs := list(children(child)):
            found["server"].append(child)
            found["run"] += runs
    return found


def children(pid: int) -> Iterator[int]:
    """The processes that a process has started."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The second field is a name in brackets, which may hold spaces.
            fields = path.read_text(encoding="utf-8").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == pid:
            yield int(path.parent.name)


def records(outputs: Path) -> Iterator[tuple[str, Record | None]]:
    """Each run folder's name and record; None where it is damaged."""
    for path in sorted((outputs / "default").glob("*/record.json")):
        try:
            yield path.parent.name, read_record(path.parent)
        except Exception as error:
            if "damaged" not in str(error):
                raise
            yield path.parent.name, None


def differences(whole: Path, cut: Path) -> list[str]:
    """What is not the same in the two folders of the same run."""
    one, other = read_record(whole), read_record(cut)
    wrong = []
    if one.metrics != other.metrics or other.state != "finished":
        wrong.append("metrics")
    if [untimed(entry) for entry in one.history] != [untimed(entry) for entry in other.history]:
        wrong.append("history")
    for name in ("metrics.csv", "samples.txt"):
        if (whole / name).read_bytes() != (cut / name).read_bytes():
            wrong.append(name)
    if not same(best_checkpoint(whole).weights, best_checkpoint(cut).weights):
        wrong.append("best.ckpt")
    last = [read_content(folder / "checkpoints" / "last.ckpt") for folder in (whole, cut)]
    for part in ("state_dict", "optimizer_states", "lr_schedulers", "global_step"):
        if not same(last[0][part], last[1][part]):
            wrong.append(f"last.ckpt: {part}")
    if not same(last[0]["unrolled"]["ranks"], last[1]["unrolled"]["ranks"]):
        wrong.append("last.ckpt: random states or what is carried")
    if left := [path.name for path in cut.rglob(".*")]:
        wrong.append(f"left behind: {', '.join(left)}")
    return wrong


def untimed(entry: dict[str, float]) -> dict[str, float]:
    """A validation without the time it took to get there."""
    return {key: value for key, value in entry.items() if key != "seconds"}


def same(one: Any, other: Any) -> bool:
    """Whether two nests of plain data and tensors are bitwise the same."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def stress(kills: int, steps: int, seed: int, folder: Path) -> dict[str, Any]:
    """Make rounds until there were so many kills.

    Returns:
        What was done, and ``different``: for each run that came out otherwise, in what.
    """
    chooser = random.Random(seed)
    text = "".join(" ".join(chooser.choices(WORDS, k=8)) + ".\n" for _ in range(300))
    (folder / "text.txt").write_text(text, encoding="utf-8")
    done: Counter[str] = Counter()
    damage: Counter[str] = Counter()
    different: dict[str, list[str]] = {}
    rounds = runs = starts = 0
    while sum(done.values()) < kills:
        seeds = [2 * rounds + 1, 2 * rounds + 2]
        Sweep(folder, seeds, steps, chooser, done).run("whole", 0)
        disturbed = Sweep(folder, seeds, steps, chooser, done)
        disturbed.run("cut", kills - sum(done.values()))
        done += disturbed.kills
        damage += disturbed.damage
        starts += disturbed.starts
        rounds += 1
        names = {f"{cell}-seed{n}" for cell in ("lstm", "gru") for n in seeds}
        folders = [path for path in (folder / "cut/default").glob("*-seed*") if path.is_dir()]
        mine = [path for path in folders if path.name.rpartition("-")[0] in names]
        if len(mine) != len(names):
            different[f"round {rounds}"] = [f"{len(mine)} folders for {len(names)} runs"]
        for path in mine:
            if wrong := differences(folder / "whole/default" / path.name, path):
                different[path.name] = wrong
        runs += len(mine)
        told = f"round {rounds}: {dict(done)}, {dict(damage)}, {starts} starts"
        print(f"{told}, different: {different or 'none'}", flush=True)
    return {
        "kills": dict(done),
        "total_kills": sum(done.values()),
        "damage": dict(damage),
        "rounds": rounds,
        "runs": runs,
        "starts": starts,
        "different": different,
    }


def main() -> int:
    """Run the command line; 1 if a run came out otherwise."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--steps", type=int, default=1200, help="how long each run is")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, help="where to write the result, as JSON")
    parser.add_argument("--folder", type=Path, help="where to work, and leave everything")
    options = parser.parse_args()
    started = time.time()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        result = stress(options.kills, options.steps, options.seed, folder)
    result |= {
        "seed": options.seed,
        "steps": options.steps,
        "seconds": round(time.time() - started),
        "date": datetime.now(UTC).date().isoformat(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        write_json(options.output, result)
    print(json.dumps(result, indent=1))
    return 1 if result["different"] else 0


if __name__ == "__main__":
    sys.exit(main())
