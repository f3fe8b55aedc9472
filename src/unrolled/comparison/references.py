"""What a result is read against: the baselines of its task, and figures that others published."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from unrolled.comparison.grouping import Run
from unrolled.comparison.metrics import folds_of, number
from unrolled.runs.record import Record, look_up


@dataclass(frozen=True)
class Reference:
    """A level of both metrics of a comparison; None where it has none of that split.

    Attributes:
        cell: the name of the cell that a published figure is of; None: rows of any cell are tested
            against it.
    """

    label: str
    kind: Literal["baseline", "published"]
    value: float | None
    other: float | None
    cell: str | None = None


def references(runs: Sequence[Run], metric: str, other: str) -> tuple[Reference, ...]:
    """The baselines of the runs' tasks, and what their configurations name as published."""
    return (*_baselines(runs, metric, other), *_published(runs, metric, other))


def baseline_of(record: Record, label: str, metric: str) -> float | None:
    """What the baseline of this label scores on the record's own data."""
    return number(record.description.baselines.get(label, {}).get(metric))


def baseline_over(runs: Sequence[Run], label: str, metric: str) -> float | None:
    """What the baseline of this label scores on the data of a group's runs, in the mean over its
    folds, each of which has other examples."""
    by_fold = {
        run.replicate.fold: baseline_of(run.record, label, metric) for run in reversed(runs)
    }
    levels = [level for level in by_fold.values() if level is not None]
    if len(by_fold) == 1:
        return levels[0] if levels else None
    return sum(levels) / len(levels) if levels else None


def _baselines(runs: Sequence[Run], metric: str, other: str) -> Iterable[Reference]:
    """One for each label and, where they differ, for each data set that the runs read."""
    found: dict[str, dict[tuple[float | None, float | None], Record]] = {}
    for members in _alike(runs):
        record = members[0].record
        for label in record.description.baselines:
            levels = tuple(baseline_over(members, label, name) for name in (metric, other))
            if levels != (None, None):
                found.setdefault(label, {}).setdefault((levels[0], levels[1]), record)
    for label, levels_of in found.items():
        names = _distinguished(label, list(levels_of.values()))
        for name, (value, of_other) in zip(names, levels_of, strict=True):
            yield Reference(name, "baseline", value, of_other)


def _alike(runs: Sequence[Run]) -> Iterable[Sequence[Run]]:
    """Each run alone, but the folds of the same data and task together."""
    parts: dict[object, list[Run]] = {}
    for place, run in enumerate(runs):
        record = run.record
        key: object = place
        if run.replicate.fold is not None:
            task = record.config.get("task")
            tokenizer = record.config.get("tokenizer")
            data = (record.data.get("fingerprint"), task, tokenizer, folds_of(record))
            key = json.dumps(data, sort_keys=True, default=str)
        parts.setdefault(key, []).append(run)
    return parts.values()


def _distinguished(label: str, records: list[Record]) -> list[str]:
    """The label for each record, with what the records differ in where there are several."""
    if len(records) == 1:
        return [label]
    paths = dict.fromkeys(
        ["data.name"]
        + [
            path
            for r in records
            for about in r.description.metrics.values()
            for path in about.within
        ]
    )
    columns = [[str(look_up(record, path)) for record in records] for path in paths]
    differing = [column for column in columns if len(set(column)) > 1]
    if len({tuple(row) for row in zip(*differing, strict=True)}) < len(records):
        differing.append([str(record.data.get("fingerprint", ""))[:6] for record in records])
    return [f"{label} ({', '.join(row)})" for row in zip(*differing, strict=True)]


def published_in(record: Record, metric: str, other: str) -> list[Reference]:
    """What a record's configuration names as published of either metric."""
    entries: Any = record.config.get("published")
    found = []
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict):
            value, of_other = number(entry.get(metric)), number(entry.get(other))
            if value is not None or of_other is not None:
                cell = None if entry.get("cell") is None else str(entry["cell"])
                source = str(entry.get("source", "published"))
                label = source if cell is None else f"{cell}, {source}"
                found.append(Reference(label, "published", value, of_other, cell))
    return found


def _published(runs: Sequence[Run], metric: str, other: str) -> Iterable[Reference]:
    return dict.fromkeys(
        level for run in runs for level in published_in(run.record, metric, other)
    )
