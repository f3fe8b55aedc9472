"""Which runs are the same experiment but for seed and fold, and what to call each such group."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from unrolled.runs.identity import ADDED_LATER, CANNOT_CHANGE_A_RESULT, CHANGES_ROUNDING_ONLY
from unrolled.runs.record import Record, look_up

CELL = "cell.name"
DATA = "data.fingerprint"
# Of a fair study's runs.
SEARCH, FINAL = "search", "final"

_CLASS = "cell._target_"
# Seed and fold are what the runs of a group differ in.
_IGNORED = frozenset((*CANNOT_CHANGE_A_RESULT, *CHANGES_ROUNDING_ONLY, "seed", "fold"))


class Replicate(NamedTuple):
    """What the runs of a group differ in.

    ``fold`` is that of a cross-validation, from 0; None without one. ``data`` is the data set
    where a group is of several; empty where it is of one.
    """

    seed: int
    fold: int | None = None
    data: str = ""

    @property
    def order(self) -> tuple[str, int, int]:
        """What replicates are sorted by: the data set, the seed, then the fold."""
        return self.data, self.seed, -1 if self.fold is None else self.fold


@dataclass(frozen=True)
class Run:
    """One run: its folder and its record; ``data`` is its data set where a group is of several."""

    folder: Path
    record: Record
    data: str = ""

    @cached_property
    def replicate(self) -> Replicate:
        """The run's seed and fold."""
        fold = self.record.config.get("fold")
        return Replicate(self.record.seed, fold if isinstance(fold, int) else None, self.data)

    @cached_property
    def role(self) -> str | None:
        """In a fair study ``search`` or ``final``; None elsewhere."""
        role = look_up(self.record, "config.trial.role")
        return role if isinstance(role, str) else None

    @cached_property
    def searched(self) -> tuple[str, ...]:
        """In a fair study, what was searched, as overrides."""
        space = look_up(self.record, "config.trial.space")
        return tuple(map(str, space)) if isinstance(space, list) else ()

    @cached_property
    def settings(self) -> dict[str, str]:
        """What can change the run's score: key to value as JSON, the data's fingerprint among
        them. What means the same as an absent key is left out: null, and the value that a run
        had before there was the key."""
        flat = flatten(self.record.config, skip=_IGNORED)
        for key, absent in flatten(ADDED_LATER).items():
            if flat.get(key) == absent:
                flat.pop(key, None)
        if any(flat.get(f"budget.{of}") is not None for of in ("parameters", "flops")):
            flat.pop("model.hidden_size", None)  # solved from the budget, so implied by it
        kept = {key: _as_json(value) for key, value in flat.items() if value is not None}
        fingerprint = str(self.record.data.get("fingerprint", ""))[:6]
        kept[DATA] = json.dumps(f"{self.record.data.get('name', '')}:{fingerprint}")
        return kept


@dataclass(frozen=True)
class Group:
    """Runs that differ in nothing but seed and fold, sorted by them.

    ``values`` are those of the grouping keys, ``label`` the same for a person.
    """

    label: str
    values: dict[str, Any]
    runs: tuple[Run, ...]

    @property
    def seeds(self) -> list[int]:
        """The seed of each run."""
        return [run.record.seed for run in self.runs]


def flatten(
    config: Mapping[str, Any], prefix: str = "", skip: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """A nested configuration as dotted keys, without those in ``skip``; a list is a value."""
    flat: dict[str, Any] = {}
    for name, value in config.items():
        key = f"{prefix}{name}"
        if key in skip:
            continue
        if isinstance(value, dict) and value:
            flat.update(flatten(value, f"{key}.", skip))
        else:
            flat[key] = value
    return flat


def added_keys(runs: Sequence[Run], keys: Sequence[str], besides: Sequence[str] = ()) -> list[str]:
    """The fewest further keys that keep unlike runs in separate groups.

    A key is added only where runs still differ in it after those before it have been added, so a
    choice's name (``optimizer.name``) makes its details (``optimizer.betas``) superfluous.
    Keys that start with one of ``besides`` are not looked at, and runs that are told apart by
    their data set are never unlike.
    """
    values = _settings(runs)
    candidates = {
        key for value in values for key in value if not key.startswith(tuple(besides))
    } - set(keys)
    data: list[str | None] = [run.data for run in runs]
    parts = _partition(range(len(runs)), [data, *(_column(runs, key, values) for key in keys)])
    added = []
    for key in sorted(candidates, key=_precedence):
        column = [value.get(key) for value in values]
        if any(len({column[index] for index in part}) > 1 for part in parts):
            added.append(key)
            parts = [finer for part in parts for finer in _partition(part, [column])]
    return added


def group_runs(runs: Sequence[Run], keys: Sequence[str]) -> list[Group]:
    """The groups of ``runs`` by the values of ``keys``, sorted by label."""
    settings = _settings(runs)
    columns = [_column(runs, key, settings) for key in keys]
    names = _short_names(keys)
    # What a run without a later key was made with.
    absent = flatten(ADDED_LATER)
    groups = []
    for part in _partition(range(len(runs)), columns):
        values = {
            key: absent.get(key) if (found := column[part[0]]) is None else json.loads(found)
            for key, column in zip(keys, columns, strict=True)
        }
        label = " ".join(
            _shown(value) if key == CELL else f"{names[key]}={_shown(value)}"
            for key, value in values.items()
        )
        members = sorted((runs[index] for index in part), key=lambda run: run.replicate.order)
        groups.append(Group(label, values, tuple(members)))
    return sorted(groups, key=lambda group: group.label)


def _settings(runs: Sequence[Run]) -> list[dict[str, str]]:
    """The settings of each run, with one name for each class of cells.

    A cell that was asked for by its class (``cell._target_=…``) is named after the class; where
    runs chose the same class by a name of the configuration, that is its name.
    """
    settings = _without_tuned(runs)
    names: dict[str | None, set[str]] = {}
    for one in settings:
        names.setdefault(one.get(_CLASS), set()).add(one.get(CELL, "null"))
    chosen = {}
    for target, given in names.items():
        of_class = json.dumps(str(json.loads(target or '""')).rpartition(".")[2])
        others = given - {of_class}
        if of_class in given and len(others) == 1:
            chosen[target, of_class] = others.pop()
    if not chosen:
        return settings
    return [
        {**one, CELL: chosen[key]}
        if (key := (one.get(_CLASS), one.get(CELL, "null"))) in chosen
        else one
        for one in settings
    ]


def _without_tuned(runs: Sequence[Run]) -> list[dict[str, str]]:
    """The settings of each run; of a fair study's final runs without what was searched, in which
    they differ by design, and without what follows from it: a key that has the value of a searched
    one in all of them, as ``model.layer_dropout`` has that of ``model.dropout``."""
    settings = [run.settings for run in runs]
    finals = [run.role == FINAL for run in runs]
    lines = {line for run in runs if run.role == FINAL for line in run.searched}
    searched = {line.partition("=")[0] for line in lines}
    if not searched:
        return settings
    tuned = [one for one, final in zip(settings, finals, strict=True) if final]
    columns = [[one.get(key) for one in tuned] for key in searched]
    varied = [column for column in columns if len(set(column)) > 1]
    keys = {key for one in tuned for key in one if [each.get(key) for each in tuned] in varied}
    keys |= searched
    nodes = tuple(f"{key}." for key in searched)
    return [
        {k: v for k, v in one.items() if k not in keys and not k.startswith(nodes)}
        if final
        else one
        for one, final in zip(settings, finals, strict=True)
    ]


def _column(runs: Sequence[Run], key: str, values: list[dict[str, str]]) -> list[str | None]:
    """The column of ``key``, also of one that cannot matter but was asked for."""
    if any(key in value for value in values):
        return [value.get(key) for value in values]
    return [_as_json(flatten(run.record.config).get(key)) for run in runs]


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


def _as_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value)
