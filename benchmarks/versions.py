"""Whether two versions train bitwise the same: the same commands run by two checkouts.

    python -m benchmarks.versions OLD NEW [--ptb DIR] [--only CASE ...] [--output FILE.json]

OLD and NEW are folders of checkouts, each with ``src/`` and ``conf/``. The cases are the nine runs
of ``make compare`` (``comparison``), words of Penn Treebank (``penn_treebank``, if ``--ptb`` names
the folder of its three files), a run that is killed twice and continued (``continued``, compared
with an uncut run, too), a search with pruning (``search``), and two ranks (``two_ranks``).

Each figure of OLD's records must be in NEW's, equal to the last digit, and the best checkpoints'
weights must be equal to the last bit; identities are reported, and may differ. The exit code is 1
if anything differs or a command fails. Only the two versions' own processes import ``unrolled``.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

SMALL = """
    dataset.first_year=2012 model.embedding_size=32 model.hidden_size=64
    task.evaluation_batch_size=16 task.sample.length=20 trainer.threads=1 trainer.gradient_clip=0.1
"""
# What follows `unrolled train` in each case.
CASES = {
    "comparison": """
        -m cell=rnn_tanh,lstm,gru seed=1,2,3 budget=equal scheduler=cosine model.forget_bias=1.0
        task.batch_size=16 optimizer.lr=0.01 trainer.max_steps=1200
        trainer.validate_every_steps=200
    """,
    "penn_treebank": """
        dataset=splits dataset.path='{ptb}' tokenizer=word cell=lstm model.layers=2
        model.dropout=0.3 model.embedding_size=200 model.hidden_size=200 trainer.threads=1
        task.batch_size=20 task.sequence_length=20 task.evaluation_batch_size=4
        task.evaluation_sequence_length=250 trainer.max_steps=200 trainer.validate_every_steps=100
    """,
    "continued": f"""{SMALL}
        cell=lstm model.layers=2 model.dropout=0.2 model.zoneout=0.1
        scheduler=plateau scheduler.patience=0
        trainer.max_steps=200 trainer.validate_every_steps=25 trainer.checkpoint_every_steps=10
    """,
    # One trial at a time, so that each is chosen and pruned by the same earlier ones.
    "search": f"""{SMALL}
        -m hydra/sweeper=optuna hydra.sweeper.n_trials=10 hydra.sweeper.seed=1 workers=1
        hydra.sweeper.startup_trials=4 hydra.sweeper.pruner=median
        cell=gru optimizer.lr=tag(log,interval(1e-4,1e-1))
        trainer.max_steps=60 trainer.validate_every_steps=20
    """,
    "two_ranks": f"""{SMALL}
        trainer=ddp trainer.devices=2 trainer.accelerator=cpu cell=lstm model.dropout=0.2
        trainer.max_steps=100 trainer.validate_every_steps=50
    """,
}
# The steps from which on the process of the continued run is killed.
KILLS = (60, 130)
ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
# How records write numbers that JSON lacks; schema 1 wrote null.
NON_FINITE = ("inf", "-inf", "nan")
ROW = "{:<14}{:>6}{:>9}{:>11}{:>13}   {:<12}{:>10}"
HEADER = ROW.format("case", "runs", "figures", "weights", "differences", "identities", "seconds")


class CaseError(Exception):
    """A case could not be run as it is meant."""


@dataclass(frozen=True)
class Version:
    """A checkout, and the folder in which its commands work."""

    name: str
    checkout: Path
    folder: Path

    def check(self) -> None:
        """Make sure that the checkout's code runs, and not that of an installed package."""
        files = "(unrolled.__file__, plugins.__file__)"
        inside = f"all(file.startswith({str(self.checkout / 'src')!r}) for file in {files})"
        modules = "unrolled, hydra_plugins.unrolled_plugins as plugins"
        self._run(self.folder, "-c", f"import {modules}; assert {inside}, {files}")

    def train(self, outputs: str, overrides: Sequence[str], kills: Sequence[int] = ()) -> Path:
        """Run ``unrolled train`` to its end, and return the folder it wrote to.

        Args:
            kills: steps; each time the run shows that it got there, the command is killed by
                SIGKILL and started again.
        """
        folder = self.folder / "outputs" / outputs
        command = ("-m", "unrolled", "train", f"paths.outputs=outputs/{outputs}", *overrides)
        for step in kills:
            self._run(folder, *command, kill_at=step)
        self._run(folder, *command)
        for _, record in runs(folder).values():
            starts = [start["step"] for start in record["timing"].get("continued", [])]
            if len(starts) != len(kills) or 0 in starts:
                raise CaseError(f"{self.name}: killed {len(kills)} times, continued at {starts}")
        return folder

    def commit(self) -> str:
        """The checkout's commit, and whether its files were changed since."""
        describe = ["describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+changes"]
        git = ["git", "-C", str(self.checkout), *describe]
        return subprocess.run(git, capture_output=True, text=True).stdout.strip() or "no commit"

    def _run(self, outputs: Path, *arguments: str, kill_at: int | None = None) -> None:
        """Run Python on this checkout to its end, or until a run in ``outputs`` is at a step."""
        log = self.folder / "log.txt"
        command = [sys.executable, *arguments]
        env = {key: v for key, v in os.environ.items() if not key.startswith("UNROLLED_")}
        env |= {"UNROLLED_CACHE": str(self.folder / "cache"), **dict.fromkeys(ONE_THREAD, "1")}
        env["PYTHONPATH"] = str(self.checkout / "src")
        with log.open("wb") as out:
            process = subprocess.Popen(
                command, cwd=self.folder, env=env, stdout=out, stderr=out, start_new_session=True
            )
        try:
            while process.poll() is None and (kill_at is None or shown_step(outputs) < kill_at):
                time.sleep(0.05)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        code, expected = process.wait(), 0 if kill_at is None else -signal.SIGKILL
        if code != expected:
            end = log.read_text("utf-8", "replace")[-2000:]
            raise CaseError(f"{self.name}: exit code {code}, not {expected}\n{command}\n{end}")


def shown_step(outputs: Path) -> int:
    """How far the run in an outputs folder says it is."""
    shown = outputs.glob("*/*/progress.json")
    return max((json.loads(path.read_text("utf-8"))["step"] for path in shown), default=0)


def runs(outputs: Path) -> dict[str, tuple[Path, dict[str, Any]]]:
    """The folder and the record of each run, by what makes it the same run in both versions."""
    result: dict[str, tuple[Path, dict[str, Any]]] = {}
    for path in sorted(outputs.glob("*/*/record.json")):
        record = json.loads(path.read_text("utf-8"))
        cell, trial = record["config"]["cell"]["name"], record["config"]["trial"]["number"]
        key = f"{record['study']}/{cell} seed {record['seed']}"
        key += "" if trial is None else f" trial {trial}"
        if key in result:
            raise CaseError(f"two runs of {key}: {result[key][0]} and {path.parent}")
        result[key] = path.parent, record
    return result


def figures(record: dict[str, Any]) -> dict[str, Any]:
    """What must be equal in two records, by name."""
    tables = {"metrics": record["metrics"], "best": record["best"]}
    tables |= {f"history[{n}]": entry for n, entry in enumerate(record["history"])}
    result = {f"{table}.{name}": v for table, t in tables.items() for name, v in t.items()}
    result |= {
        "status": record["status"],
        "error.type": (record["error"] or {}).get("type"),
        "validations": len(record["history"]),
        "model.parameters": record["model"]["parameters"],
        "config.optimizer.lr": record["config"]["optimizer"]["lr"],
    }
    return {name: value for name, value in result.items() if not name.endswith(".seconds")}


def weights(folder: Path) -> list[Tensor]:
    """The best checkpoint's values in the order of their registration; none if there is none."""
    path = folder / "checkpoints" / "best.ckpt"
    content = torch.load(path, weights_only=True) if path.is_file() else {"state_dict": {}}
    return list(content["state_dict"].values())


def same_bits(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are the same to the last bit, signs of zeros included."""
    kinds = [(tensor.dtype, tensor.shape) for tensor in (one, other)]
    contents = [tensor.flatten().contiguous().view(torch.uint8) for tensor in (one, other)]
    return kinds[0] == kinds[1] and torch.equal(*contents)


@dataclass
class Result:
    """How much of a case was compared, and what differs; ``added`` is what only NEW records."""

    case: str
    runs: int = 0
    figures: int = 0
    weights: int = 0
    other_identities: int = 0
    differences: list[str] = field(default_factory=list)
    added: set[str] = field(default_factory=set)
    seconds: list[float] = field(default_factory=list)

    def compare(self, label: str, old: Path, new: Path) -> None:
        """Compare every run of two outputs folders."""
        olds, news = runs(old), runs(new)
        if not olds:
            self.differences.append(f"{label}: no runs")
        for key in sorted(olds.keys() ^ news.keys()):
            self.differences.append(f"{label}: {key}: in only one of the two")
        for key in sorted(olds.keys() & news.keys()):
            (one, first), (other, second) = olds[key], news[key]
            self.runs += 1
            self.other_identities += first["identity"] != second["identity"]
            self._compare_figures(f"{label}: {key}", figures(first), figures(second))
            self._compare_weights(f"{label}: {key}: best.ckpt", weights(one), weights(other))

    def _compare_figures(self, label: str, old: dict[str, Any], new: dict[str, Any]) -> None:
        self.added |= {name for name in new.keys() - old.keys() if name.startswith("metrics.")}
        self.figures += len(old)
        for name, value in old.items():
            found = new.get(name, "absent")
            if repr(value) != repr(found) and not (value is None and found in NON_FINITE):
                self.differences.append(f"{label}: {name}: {value!r} and {found!r}")

    def _compare_weights(self, label: str, old: Sequence[Tensor], new: Sequence[Tensor]) -> None:
        if len(old) != len(new):
            self.differences.append(f"{label}: {len(old)} and {len(new)} tensors")
        for number, (one, other) in enumerate(zip(old, new, strict=False)):
            self.weights += one.numel()
            if not same_bits(one, other):
                self.differences.append(f"{label}: tensor {number} of {len(old)}")

    def __str__(self) -> str:
        identities = f"{self.other_identities} differ" if self.other_identities else "same"
        counts = [f"{n:,}" for n in (self.figures, self.weights, len(self.differences))]
        times = " + ".join(f"{seconds:.0f}" for seconds in self.seconds)
        lines = [ROW.format(self.case, self.runs, *counts, identities, times)]
        lines += [f"  first: {difference}" for difference in self.differences[:1]]
        lines += [f"  only in NEW: {name}" for name in sorted(self.added)]
        return "\n".join(lines)


def measure(case: str, overrides: Sequence[str], old: Version, new: Version) -> Result:
    """Run a case with both versions, and compare what they made."""
    result = Result(case)
    made = []
    try:
        for version in (old, new):
            started = time.perf_counter()
            made.append(version.train(case, overrides, KILLS if case == "continued" else ()))
            if case == "continued":
                uncut = version.train("uncut", overrides)
                result.compare(f"cut and uncut in {version.name}", made[-1], uncut)
            result.seconds.append(time.perf_counter() - started)
        result.compare(case, *made)
    except CaseError as error:
        result.differences.append(f"{case}: {error}")
    return result


def main() -> int:
    """Run the command line; 1 if the versions differ."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("old", type=Path, metavar="OLD", help="the folder of a checkout")
    parser.add_argument("new", type=Path, metavar="NEW", help="the folder of another")
    parser.add_argument("--ptb", type=Path, help="the folder of Penn Treebank's three files")
    parser.add_argument("--only", nargs="+", choices=CASES, metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--output", type=Path, help="where to write the result, as JSON")
    options = parser.parse_args()
    for checkout in (options.old, options.new):
        if not all((checkout / part).is_dir() for part in ("src/unrolled", "conf")):
            parser.error(f"{checkout}: no checkout, it lacks src/unrolled or conf")
    chosen = options.only or [case for case in CASES if options.ptb or case != "penn_treebank"]
    if "penn_treebank" in chosen and options.ptb is None:
        parser.error("penn_treebank needs --ptb DIR, the folder of its three files")
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
    ptb = options.ptb and options.ptb.resolve()
    results = []
    with tempfile.TemporaryDirectory() as temporary:
        old = Version("OLD", options.old.resolve(), Path(temporary) / "old")
        new = Version("NEW", options.new.resolve(), Path(temporary) / "new")
        for version in (old, new):
            version.folder.mkdir()
            try:
                version.check()
            except CaseError as error:
                parser.error(str(error))
        print(HEADER, flush=True)
        for case in chosen:
            overrides = [word.format(ptb=ptb) for word in CASES[case].split()]
            results.append(measure(case, overrides, old, new))
            print(results[-1], flush=True)
    commits = {version.name: version.commit() for version in (old, new)}
    print(", ".join(f"{name} {commit}" for name, commit in commits.items()))
    if options.output:
        details = {"commits": commits, "cases": [asdict(result) for result in results]}
        details |= {"date": time.strftime("%Y-%m-%d", time.gmtime()), "torch": torch.__version__}
        options.output.write_text(json.dumps(details, indent=1, default=sorted) + "\n", "utf-8")
    return 1 if any(result.differences for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
