"""The searches that runs are trials of, as their records have them."""

import json
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from unrolled.comparison.grouping import DATA, FINAL, SEARCH, Run
from unrolled.comparison.metrics import number
from unrolled.runs.record import Record, look_up

# The ratio of the largest to the smallest value from which a log axis reads better.
_LOG_PARAMETER = 10.0


@dataclass(frozen=True)
class Trial:
    """One configuration that a search tried.

    ``values`` are those of its objectives: at the best checkpoint, or, where the trial was pruned,
    at its last validation; of a trial of several folds, their mean. ``settings`` are its
    configuration, as dotted keys.
    """

    number: int
    pruned: bool
    values: tuple[float, ...]
    settings: dict[str, Any]


@dataclass(frozen=True)
class Search:
    """The trials of a search by their numbers; ``lower_is_better`` has an entry an objective.

    ``fair`` is whether it is one of a fair study's searches, which all have the same budget.
    """

    name: str
    objectives: tuple[str, ...]
    lower_is_better: tuple[bool, ...]
    trials: tuple[Trial, ...]
    fair: bool = False

    @property
    def finished(self) -> list[Trial]:
        """The trials that were not pruned."""
        return [trial for trial in self.trials if not trial.pruned]

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """The keys that the trials differ in. What a choice's name stands for is left out, and
        what has a shorter key's values, as ``model.layer_dropout`` has those of
        ``model.dropout``."""
        keys = {key for trial in self.trials for key in trial.settings}
        shortest: dict[tuple[str, ...], str] = {}
        for key in sorted(keys, key=lambda key: (len(key), key)):
            column = tuple(json.dumps(trial.settings.get(key)) for trial in self.trials)
            if len(set(column)) > 1:
                shortest.setdefault(column, key)
        varied = set(shortest.values())
        named = tuple(key.removesuffix("name") for key in varied if key.endswith(".name"))
        return tuple(
            sorted(k for k in varied if k.endswith(".name") or not self._implied(k, named))
        )

    def _implied(self, key: str, groups: tuple[str, ...]) -> bool:
        """Whether trials of the same choice of the key's group agree in it."""
        group = next((group for group in groups if key.startswith(group)), None)
        if group is None:
            return False
        found: dict[str, set[str]] = {}
        for trial in self.trials:
            choice = json.dumps(trial.settings.get(f"{group}name"))
            found.setdefault(choice, set()).add(json.dumps(trial.settings.get(key)))
        return all(len(values) == 1 for values in found.values())


def find_searches(finished: Sequence[Run], pruned: Sequence[Run]) -> tuple[Search, ...]:
    """The searches that any of these runs is a trial of, or a fold of one."""
    found: dict[tuple[Path, str], dict[tuple[int, str], list[Trial]]] = {}
    records: dict[tuple[Path, str], Record] = {}
    for run, is_pruned in [*((run, False) for run in finished), *((run, True) for run in pruned)]:
        trial = look_up(run.record, "config.trial")
        if not isinstance(trial, dict) or not isinstance(trial.get("number"), int):
            continue
        if run.role == FINAL:
            # It trains what a search chose, and is no trial.
            continue
        key = (run.folder.parent, str(trial.get("search")))
        objectives = _objectives(records.setdefault(key, run.record))
        values = tuple(_value(run.record, name, is_pruned) for name in objectives)
        if None not in values:
            settings = {
                key: json.loads(value) for key, value in run.settings.items() if key != DATA
            }
            numbers = tuple(value for value in values if value is not None)
            one = Trial(trial["number"], is_pruned, numbers, settings)
            # A search begun anew in the same study counts from 0 again.
            which = (one.number, json.dumps(settings, sort_keys=True))
            found.setdefault(key, {}).setdefault(which, []).append(one)
    return tuple(
        Search(
            name,
            objectives,
            tuple(_lower_is_better(records[folder, name], one) for one in objectives),
            tuple(_over_folds(runs) for _, runs in sorted(trials.items()) if len(runs) == folds),
            look_up(records[folder, name], "config.trial.role") == SEARCH,
        )
        for (folder, name), trials in found.items()
        # A trial that lacks some of its folds is none yet, or has failed.
        if (folds := max(map(len, trials.values())))
        if (objectives := _objectives(records[folder, name]))
    )


def is_logarithmic(values: Sequence[float]) -> bool:
    """Whether values that span much lie more evenly on a logarithmic scale, as records do not say
    on which they were drawn."""
    low, middle, high = min(values), statistics.median(values), max(values)
    if low <= 0 or high <= _LOG_PARAMETER * low:
        return False
    even = (middle - low) / (high - low)
    logarithmic = math.log(middle / low) / math.log(high / low)
    return abs(logarithmic - 0.5) < abs(even - 0.5)


def _over_folds(runs: Sequence[Trial]) -> Trial:
    """A trial from its runs."""
    if len(runs) == 1:
        return runs[0]
    columns = zip(*(run.values for run in runs), strict=True)
    values = tuple(sum(column) / len(runs) for column in columns)
    return replace(runs[0], values=values)


def _objectives(record: Record) -> tuple[str, ...]:
    """What the search judged its trials by; what the task monitors, in records that do not say."""
    names = look_up(record, "config.trial.objectives")
    if not isinstance(names, Iterable) or isinstance(names, str) or not names:
        names = [record.description.monitor]
    return tuple(name for name in names if isinstance(name, str))


def _value(record: Record, name: str, pruned: bool) -> float | None:
    """A metric such as ``validation/loss``, or a field such as ``model.parameters``."""
    if "/" not in name:
        return number(look_up(record, name))
    if not pruned:
        return number(record.metrics.get(name))
    values = [number(entry.get(name)) for entry in record.history]
    return next((value for value in reversed(values) if value is not None), None)


def _lower_is_better(record: Record, name: str) -> bool:
    """The direction that the task gives; fields are costs, of which less is better."""
    about = record.description.metrics.get(name.rpartition("/")[2]) if "/" in name else None
    return about is None or about.lower_is_better
