"""Which runs are the same experiment but for the seed, and what to call each such group."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unrolled.runs.record import Record

CELL = "cell.name"
DATA = "data.fingerprint"

# Keys (or the parents of keys) that cannot change what a run scores. A data set's options are here
# because the fingerprint of its content stands in for them.
IRRELEVANT = (
    "seed",
    "workers",
    "study",
    "name_by",
    "published",
    "paths",
    "logger",
    "hydra",
    "dataset",
    "cell.backend",
    "budget.tolerance",
    "task.sample",
    "task.evaluation_sequence_length",
    "trainer.name",
    "trainer.accelerator",
    "trainer.threads",
    "trainer.log_every_steps",
    "trainer.profiler",
    "trainer.deterministic",
)


@dataclass(frozen=True)
class Run:
    """One finished run: its folder and its record."""

    folder: Path
    record: Record


@dataclass(frozen=True)
class Group:
    """Runs that differ in nothing but the seed, sorted by it.

    ``values`` are those of the grouping keys, ``label`` the same for a person.
    """

    label: str
    values: dict[str, Any]
    runs: list[Run]

    @property
    def seeds(self) -> list[int]:
        return [run.record.seed for run in self.runs]


def flatten(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested configuration as dotted keys; a list is a value."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict) and value:
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def settings(record: Record) -> dict[str, str]:
    """What can change a run's score: key to value as JSON, the data's fingerprint among them."""
    flat = flatten(record.config)
    if any(flat.get(f"budget.{of}") is not None for of in ("parameters", "flops")):
        flat.pop("model.hidden_size", None)  # solved from the budget, so implied by it
    kept = {
        key: json.dumps(value, sort_keys=True, default=str)
        for key, value in flat.items()
        if not any(key == name or key.startswith(f"{name}.") for name in IRRELEVANT)
    }
    fingerprint = str(record.data.get("fingerprint", ""))[:6]
    kept[DATA] = json.dumps(f"{record.data.get('name', '')}:{fingerprint}")
    return kept


def added_keys(runs: Sequence[Run], keys: Sequence[str], besides: Sequence[str] = ()) -> list[str]:
    """The fewest further keys that keep unlike runs apart.

    A key is added only where runs still differ in it after those before it have been added, so a
    choice's name (``optimizer.name``) makes its details (``optimizer.betas``) superfluous.
    Keys that start with one of ``besides`` are not looked at.
    """
    values = [settings(run.record) for run in runs]
    candidates = {
        key for value in values for key in value if not key.startswith(tuple(besides))
    } - set(keys)
    parts = _partition(range(len(runs)), [_wanted(runs, key, values) for key in keys])
    added = []
    for key in sorted(candidates, key=_precedence):
        column = [value.get(key) for value in values]
        if any(len({column[index] for index in part}) > 1 for part in parts):
            added.append(key)
            parts = [finer for part in parts for finer in _partition(part, [column])]
    return added


def group_runs(runs: Sequence[Run], keys: Sequence[str]) -> list[Group]:
    """The groups of ``runs`` by the values of ``keys``, sorted by label."""
    all_settings = [settings(run.record) for run in runs]
    columns = [_wanted(runs, key, all_settings) for key in keys]
    names = _short_names(keys)
    groups = []
    for part in _partition(range(len(runs)), columns):
        values = {
            key: json.loads(column[part[0]] or "null")
            for key, column in zip(keys, columns, strict=True)
        }
        label = " ".join(
            _shown(value) if key == CELL else f"{names[key]}={_shown(value)}"
            for key, value in values.items()
        )
        members = sorted((runs[index] for index in part), key=lambda run: run.record.seed)
        groups.append(Group(label, values, members))
    return sorted(groups, key=lambda group: group.label)


def _wanted(runs: Sequence[Run], key: str, values: list[dict[str, str]]) -> list[str | None]:
    """The column of ``key``, also of one that cannot matter but was asked for."""
    if any(key in value for value in values):
        return [value.get(key) for value in values]
    flats = [flatten(run.record.config) for run in runs]
    return [json.dumps(flat.get(key), sort_keys=True, default=str) for flat in flats]


def _partition(indices: Iterable[int], columns: list[list[str | None]]) -> list[list[int]]:
    parts: dict[tuple[str | None, ...], list[int]] = {}
    for index in indices:
        parts.setdefault(tuple(column[index] for column in columns), []).append(index)
    return list(parts.values())


def _precedence(key: str) -> tuple[bool, bool, bool, int, str]:
    """The cell first, then names of choices, then short keys, the fingerprint last."""
    return (key == DATA, key != CELL, not key.endswith(".name"), len(key), key)


def _short_names(keys: Sequence[str]) -> dict[str, str]:
    """``optimizer.lr`` as ``lr``, ``optimizer.name`` as ``optimizer``; whole where unclear."""
    short = {
        key: key.split(".")[-2 if key.endswith(".name") and "." in key else -1] for key in keys
    }
    short[DATA] = "data"
    shared = list(short.values())
    return {key: name if shared.count(name) == 1 else key for key, name in short.items()}


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value)
