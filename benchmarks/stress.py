"""A sweep that is killed again and again, and restarted until it is done, against one left alone.

    python -m benchmarks.stress [--kills 50] [--steps 1200] [--seed 1] [--fair] [--output FILE]

Each round sweeps two cells over two seeds twice, or with ``--fair`` makes the study of
``make compare`` on a small text twice: once undisturbed, and once with a process of it
(the command, the server that forks its runs, or a run) killed by SIGKILL at a random moment, the
command typed again whenever it has ended. In between, a record is cut off by hand, and a disk is
full at a checkpoint (a limit on the size of files stands for it). At the end, every run of the two
must be the same to the last bit: metrics, curves, weights, optimizer, logs; each run is there
once, was not touched after it had finished, and nothing half written is left. What ``unrolled
compare`` says of the two must be the same but for their times.
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

from unrolled.comparison.export import to_json
from unrolled.comparison.report import compare
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
SMALL = [
    "dataset=text",
    "dataset.path=text.txt",
    "task.batch_size=8",
    "task.sequence_length=16",
    "task.sample.length=20",
    "trainer.log_every_steps=10",
    "trainer.checkpoint_every_steps=15",
    "paths.cache=cache",
]
SWEEP = [
    "model.embedding_size=8",
    "model.hidden_size=16",
    "model.layers=2",
    "model.dropout=0.2",
    "model.zoneout=0.1",
    "scheduler=plateau",
    "scheduler.patience=0",
    "trainer.validate_every_steps=40",
    "cell=lstm,gru",
]
FAIR = [
    "experiment=first_comparison",
    "budget.parameters=5000",
    "task.evaluation_batch_size=4",
    "task.evaluation_warm_up=20",
    "trainer.validate_every_steps=30",
]
KINDS = ("command", "server", "run")
# Seconds that a sweep, or a fair study, is left alone for at most, before something is killed.
LONGEST = {False: 6.0, True: 40.0}
# What differs between two comparisons of the same figures.
TIMES = {"seconds", "tokens_per_second", "folder", "folders"}
# A checkpoint of these models is larger, everything else is smaller.
FULL = 30_000


class Sweep:
    """One command line, typed as often as it takes.

    Args:
        overrides: all but where it writes to.
        study: the name of its study.
        longest: the seconds after which something of it is killed at the latest.
        earlier: how often each kind of process was killed in other sweeps.

    Attributes:
        kills: how often each was in this one.
        moments: in which part of a fair study each kill fell.
        damage: how often a disk was full, and a record cut off.
    """

    def __init__(
        self,
        folder: Path,
        study: str,
        overrides: list[str],
        longest: float,
        chooser: random.Random,
        earlier: Counter[str],
    ) -> None:
        self.earlier = earlier
        self.folder = folder
        self.study = study
        self.overrides = overrides
        self.longest = longest
        self.chooser = chooser
        self.kills: Counter[str] = Counter()
        self.moments: Counter[str] = Counter()
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
                if self._ends(process, self.chooser.uniform(0.5, self.longest)):
                    break
                self._kill(process, outputs)
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
        command = [sys.executable, "-m", "unrolled", "train", "-m", *self.overrides]
        command += [f"study={self.study}", f"paths.outputs={outputs}"]
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

    def _kill(self, process: "subprocess.Popen[bytes]", outputs: str) -> None:
        """Kill the command, the server of its runs, or a run: each kind in its turn."""
        so_far = self.earlier + self.kills
        fewest = min(so_far[kind] for kind in KINDS)
        kind = self.chooser.choice([kind for kind in KINDS if so_far[kind] == fewest])
        while not (pids := victims(process.pid)[kind]):
            # A sweep that has only begun has no server and no runs yet.
            if self._ends(process, self.chooser.uniform(0.1, 1.0)):
                return
        under_way = " and ".join(roles(self.folder / outputs / self.study))
        try:
            os.kill(self.chooser.choice(pids), signal.SIGKILL)
        except ProcessLookupError:
            return
        self.kills[kind] += 1
        self.moments[under_way or "no run under way"] += 1

    def _record(self, outputs: str, name: str) -> Path:
        return self.folder / outputs / self.study / name / "record.json"

    def _note(self, outputs: str) -> None:
        """Remember when each finished run's record was written: it must not be again."""
        for name, record in records(self.folder / outputs / self.study):
            written = self._record(outputs, name).stat().st_mtime_ns
            if record is not None and record.state == "finished":
                before = self.finished.setdefault(name, written)
                if before != written:
                    raise AssertionError(f"{name} was made again after it had finished")

    def _cut_a_record(self, outputs: str) -> None:
        """Cut off the record of a run that is not finished, as a person or a bad disk might."""
        there = [
            name
            for name, record in records(self.folder / outputs / self.study)
            if record is not None and record.state != "finished"
        ]
        if there:
            name = self.chooser.choice(there)
            path = self._record(outputs, name)
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


def roles(study: Path) -> list[str]:
    """What the runs under way are: of a fair study ``search`` and ``final``."""
    there = [record for _, record in records(study) if record and record.state == "running"]
    return sorted({str(record.config["trial"]["role"]) for record in there})


def records(study: Path) -> Iterator[tuple[str, Record | None]]:
    """Each run folder's name and record; None where it is damaged."""
    for path in sorted(study.glob("*/record.json")):
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
    if one.state != other.state or other.state not in ("finished", "pruned"):
        wrong.append("state")
    if one.metrics != other.metrics:
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


def names(study: Path) -> set[str]:
    """The folders of a study's runs."""
    return {path.parent.name for path in study.glob("*/config.yaml")}


def answer(study: Path) -> Any:
    """What ``unrolled compare`` says of a study, without times."""
    comparison, _ = compare([study])
    return untimed(to_json(comparison))


def untimed(value: Any) -> Any:
    """A nest of plain data without the times it took."""
    if isinstance(value, dict):
        return {key: untimed(each) for key, each in value.items() if key not in TIMES}
    return [untimed(each) for each in value] if isinstance(value, list) else value


def same(one: Any, other: Any) -> bool:
    """Whether two nests of plain data and tensors are bitwise the same."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def stress(kills: int, steps: int, seed: int, folder: Path, fair: bool) -> dict[str, Any]:
    """Make rounds until there were so many kills.

    Args:
        fair: whether each round is a fair study in place of a sweep.

    Returns:
        What was done, and ``different``: for each run that came out otherwise, in what.
    """
    chooser = random.Random(seed)
    text = "".join(" ".join(chooser.choices(WORDS, k=8)) + ".\n" for _ in range(300))
    (folder / "text.txt").write_text(text, encoding="utf-8")
    done: Counter[str] = Counter()
    moments: Counter[str] = Counter()
    damage: Counter[str] = Counter()
    different: dict[str, list[str]] = {}
    rounds = runs = starts = 0
    while sum(done.values()) < kills:
        rounds += 1
        study = f"round{rounds}"
        own = [f"seed={2 * rounds - 1},{2 * rounds}", f"trainer.max_steps={steps}"]
        # What a fair study tries differs from round to round.
        overrides = [*FAIR, f"hydra.sweeper.seed={rounds}"] if fair else SWEEP
        given = (folder, study, [*overrides, *SMALL, *own], LONGEST[fair], chooser, done)
        Sweep(*given).run("whole", 0)
        disturbed = Sweep(*given)
        disturbed.run("cut", kills - sum(done.values()))
        done += disturbed.kills
        moments += disturbed.moments
        damage += disturbed.damage
        starts += disturbed.starts
        whole, cut = folder / "whole" / study, folder / "cut" / study
        made, made_again = names(whole), names(cut)
        if made != made_again:
            different[study] = [f"there once: {', '.join(sorted(made ^ made_again))}"]
        for name in made & made_again:
            if wrong := differences(whole / name, cut / name):
                different[f"{study}/{name}"] = wrong
        if answer(whole) != answer(cut):
            different.setdefault(study, []).append("comparison")
        runs += len(made_again)
        told = f"{study}: {dict(done)}, {dict(damage)}, {starts} starts"
        print(f"{told}, different: {different or 'none'}", flush=True)
    return {
        "kills": dict(done),
        "total_kills": sum(done.values()),
        **({"under_way": dict(moments)} if fair else {}),
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
    parser.add_argument("--fair", action="store_true", help="fair studies in place of sweeps")
    parser.add_argument("--output", type=Path, help="where to write the result, as JSON")
    parser.add_argument("--folder", type=Path, help="where to work, and leave everything")
    options = parser.parse_args()
    started = time.time()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        result = stress(options.kills, options.steps, options.seed, folder, options.fair)
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
