"""``unrolled reproduce``: a finished run made again from its record alone, and whether it came out
the same."""

import argparse
import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.table import Table

from unrolled.commands.options import FAILED, add_trust, make_console, trusted_prefixes
from unrolled.config.build import OURS, target_of
from unrolled.config.stored import TRIAL
from unrolled.errors import RunError
from unrolled.runs.record import Record, read_record
from unrolled.runs.status import run_status
from unrolled.tasks.build import prepare_data
from unrolled.training.load import StoredRun, load_run
from unrolled.training.run import make_run, specify
from unrolled.training.trackers.packages import MODULES

PREFIX = "reproduced-"


def add_parser(subparsers: Any, summary: str) -> argparse.ArgumentParser:
    """Add the subcommand."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "reproduce", allow_abbrev=False, help=summary
    )
    parser.add_argument("folder", type=Path, metavar="RUN", help="a run folder")
    parser.add_argument(
        "--tolerance",
        type=float,
        default=0.01,
        help="the largest relative difference that counts as the same result (0.01)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_trust(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    """Reproduce a run and say how it came out."""
    result = reproduce(options.folder, options.tolerance, trusted_prefixes(options))
    print_reproduction(result, make_console(), as_json=options.json)
    return FAILED if result.verdict == "different" else 0


@dataclass(frozen=True)
class Reproduction:
    """A run beside the one that its record describes.

    Attributes:
        folder: of the new run.
        figures: by name, what was recorded and what came out now; a validation's are called
            ``validation/loss at step 100``.
        environment: what differs, as it was and as it is.
        tolerance: the largest relative difference that counts as the same result.
    """

    name: str
    folder: Path
    figures: dict[str, tuple[float | None, float | None]]
    environment: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    tolerance: float = 0.01

    @property
    def differences(self) -> dict[str, float]:
        """The figures that are not the same to the last digit, with their relative difference."""
        return {name: relative(*pair) for name, pair in self.figures.items() if pair[0] != pair[1]}

    @property
    def verdict(self) -> str:
        """``identical``, ``within tolerance`` or ``different``."""
        if not self.differences:
            return "identical"
        largest = max(self.differences.values())
        return "within tolerance" if largest <= self.tolerance else "different"


def reproduce(
    folder: Path, tolerance: float = 0.01, trusted: Iterable[str] = OURS
) -> Reproduction:
    """Make a finished run again, in ``reproduced-<study>`` beside its study, and compare.

    Args:
        tolerance: the largest relative difference that counts as the same result.
        trusted: prefixes of modules outside this package that the configuration may name.

    Raises:
        RunError: there is no such run, it is not finished, or its data is not what it was.
        ConfigError: the configuration names code that is not trusted.
        DataError: the data cannot be read.
    """
    trusted = tuple(trusted)
    stored = load_run(folder, trusted)
    record = stored.record
    if record.state != "finished":
        raise RunError(
            f"{folder}: {record.state}, so there is nothing to hold a reproduction against; the "
            "command that made it goes on with it"
        )
    config = _again(stored, folder.resolve().parents[1])
    # Before anything is read or built: what the configuration would have called.
    for node in ("task", "dataset", "tokenizer", "cell", "head", "optimizer", "scheduler"):
        if "_target_" in config[node]:
            target_of(config[node], trusted)
    data = prepare_data(config, trusted)
    if data.fingerprint != record.data.get("fingerprint"):
        raise RunError(
            f"{folder}: its data is not what it was (fingerprint {_short(data.fingerprint)}, and "
            f"the record has {_short(record.data.get('fingerprint'))}); a run on other data "
            "reproduces nothing"
        )
    spec = specify(config, trusted)
    before = run_status(spec)
    if before.state != "busy" and before.folder.is_dir():
        # What an earlier reproduction left would only be skipped.
        shutil.rmtree(before.folder)
    outcome = make_run(spec, trusted=trusted)
    assert outcome.folder is not None
    now = read_record(outcome.folder)
    return Reproduction(
        record.name,
        outcome.folder,
        figures(record, now),
        changed(record.environment, now.environment),
        tolerance,
    )


def figures(record: Record, now: Record) -> dict[str, tuple[float | None, float | None]]:
    """Every metric and every validation of two records, side by side."""
    one, other = _figures(record), _figures(now)
    return {name: (one.get(name), other.get(name)) for name in [*one, *(other.keys() - one)]}


def changed(before: dict[str, Any], now: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What differs between two environments, the packages one by one."""
    one, other = _flat(before), _flat(now)
    return {key: (one.get(key), other.get(key)) for key in one if one[key] != other.get(key)}


def relative(before: float | None, now: float | None) -> float:
    """The relative difference; infinite where one is missing."""
    if before is None or now is None:
        return float("inf")
    return abs(now - before) / max(abs(before), 1e-12)


def print_reproduction(result: Reproduction, console: Console, *, as_json: bool = False) -> None:
    """The verdict, what differs, and where the new run is."""
    if as_json:
        value = {
            "run": result.name,
            "folder": str(result.folder),
            "verdict": result.verdict,
            "tolerance": result.tolerance,
            "figures": result.figures,
            "environment": result.environment,
        }
        print(json.dumps(value, indent=1))
        return
    table = Table(title=result.name)
    for name in ("metric", "recorded", "now", "difference"):
        table.add_column(name, justify="left" if name == "metric" else "right")
    for name, (before, now) in result.figures.items():
        if " at step " in name:
            continue
        share = "" if before == now else f"{relative(before, now):.2%}"
        table.add_row(name, _figure(before), _figure(now), share)
    console.print(table)
    for key, (before, now) in result.environment.items():
        console.print(f"{key}: {before} then, {now} now", highlight=False, soft_wrap=True)
    console.print(f"{result.verdict}: {_why(result)}", highlight=False, soft_wrap=True)
    console.print(f"{result.folder}", highlight=False, soft_wrap=True)


def _why(result: Reproduction) -> str:
    count = len(result.figures)
    if not result.differences:
        return f"all {count} figures to the last digit"
    worst = max(result.differences, key=lambda name: result.differences[name])
    largest = f"{result.differences[worst]:.2%} in {worst}"
    if result.verdict == "within tolerance":
        return f"{len(result.differences)} of {count} figures differ, by at most {largest}"
    beyond = [n for n, share in result.differences.items() if share > result.tolerance]
    return (
        f"{len(beyond)} of {count} figures by more than {result.tolerance:.2%}, at most {largest}"
    )


def _again(stored: StoredRun, outputs: Path) -> DictConfig:
    """The record's configuration, with the width that was solved for and as many threads, into a
    study of its own."""
    config = stored.of_its_width(stored.config)
    config.paths.outputs = str(outputs)
    config.study = f"{PREFIX}{stored.record.study}"
    OmegaConf.update(config, "trial", dict.fromkeys(TRIAL))
    # The tracked run is the one that is held against.
    config.logger.update(dict.fromkeys(MODULES, False))
    threads = stored.record.environment.get("threads")
    if config.trainer.threads is None and threads is not None:
        config.trainer.threads = threads
    return config


def _figures(record: Record) -> dict[str, float]:
    steps = {
        f"{name} at step {entry['step']:,.0f}": value
        for entry in record.history
        for name, value in entry.items()
        if name.startswith(("train/", "validation/"))
    }
    return {**record.metrics, **steps}


def _flat(environment: dict[str, Any]) -> dict[str, Any]:
    packages = environment.get("packages") or {}
    return {**{k: v for k, v in environment.items() if k != "packages"}, **packages}


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.6f}"


def _short(fingerprint: Any) -> str:
    return str(fingerprint)[:12]
