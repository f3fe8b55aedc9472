"""From folders to groups of comparable runs, and a list of what was left out and why."""

import difflib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from unrolled.comparison.fair import by_role
from unrolled.comparison.grouping import (
    CELL,
    DATA,
    Group,
    Replicate,
    Run,
    added_keys,
    flatten,
    group_runs,
)
from unrolled.errors import ConfigError, RunError
from unrolled.runs.record import Record, find_runs, read_record


@dataclass(frozen=True)
class LeftOut:
    """A run that is not used: ``state`` is why in a word, ``reason`` in a sentence; ``record`` is
    None where that is damaged."""

    name: str
    folder: Path
    state: str
    reason: str
    record: Record | None = None


@dataclass(frozen=True)
class Runs:
    """What a comparison compares.

    ``keys`` are the configuration keys that tell the groups apart; ``added`` those of them that
    were not asked for but in which runs differ, so that unlike runs are never averaged.
    ``searched`` are trials of fair studies, which chose what the final runs have.
    """

    groups: tuple[Group, ...]
    keys: tuple[str, ...]
    added: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    searched: tuple[Run, ...] = ()

    @property
    def runs(self) -> list[Run]:
        """The runs of all groups."""
        return [run for group in self.groups for run in group.runs]


def collect(
    folders: Sequence[Path], by: Sequence[str] | None = None, across_data: bool = False
) -> Runs:
    """The finished runs at or below ``folders``, grouped by cell or by the keys ``by``.

    ``across_data`` leaves runs of different data sets in one group, each told by its ``data``.

    A damaged record is left out and said so: one must not blank a comparison of the others.

    Raises:
        RunError: a folder is missing, holds no run at all, or none that is finished.
        ConfigError: a key in ``by`` that no run has.
    """
    finished: list[Run] = []
    left_out: list[LeftOut] = []
    found = sorted(
        {path.resolve(): path for folder in folders for path in find_runs(folder)}.values()
    )
    places = ", ".join(str(folder) for folder in folders)
    if not found:
        raise RunError(
            f"{places}: no run in it; train some first: unrolled train -m cell=lstm,gru seed=1,2"
        )
    for folder in found:
        try:
            record = read_record(folder)
            # Damage there is seen here, where the run can be left out.
            _ = record.description
        except RunError as error:
            left_out.append(LeftOut(folder.name, folder, "damaged", str(error)))
            continue
        if record.state == "finished":
            finished.append(Run(folder, record))
        else:
            reason = describe_error(record)
            left_out.append(LeftOut(record.name, folder, record.state, reason, record))
    if not finished:
        states = Counter(run.state for run in left_out)
        counts = ", ".join(f"{count} {state}" for state, count in states.most_common())
        raise RunError(
            f"{places}: none of its runs is finished ({counts}); `unrolled runs` says why, and "
            "the command that trained them continues them"
        )
    if across_data:
        finished = [replace(run, data=json.loads(run.settings[DATA])) for run in finished]
    return group(finished, list(by or [CELL]), left_out)


def group(finished: Sequence[Run], by: list[str], left_out: list[LeftOut]) -> Runs:
    """Group finished runs, one a seed, fold and group.

    Raises:
        ConfigError: a key in ``by`` that no run has.
    """
    roles = by_role(finished)
    finished = roles.compared
    reason = "its search has gone on, and chooses another setting now"
    left_out = [
        *left_out,
        *(
            LeftOut(r.record.name, r.folder, "superseded", reason, r.record)
            for r in roles.superseded
        ),
    ]
    known = {key for run in finished for key in flatten(run.record.config)}
    for key in by:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.4)
            hint = f"; nearest: {near[0]}" if near else ""
            raise ConfigError(f"by={key}: no run has this configuration key{hint}")
    by = list(dict.fromkeys(by))
    added = added_keys(finished, by)
    keys = sorted([*by, *added], key=lambda key: key != CELL)
    groups = []
    duplicates: list[LeftOut] = []
    for whole in group_runs(finished, keys):
        kept: dict[Replicate, Run] = {}
        for run in whole.runs:
            first = kept.setdefault(run.replicate, run)
            if first is not run:
                what = "configuration and seed"
                if run.replicate.fold is not None:
                    what = "configuration, seed and fold"
                reason = f"the same {what} as {first.folder}"
                duplicates.append(
                    LeftOut(run.record.name, run.folder, "duplicate", reason, run.record)
                )
        groups.append(replace(whole, runs=tuple(kept.values())))
    left = (*left_out, *duplicates)
    return Runs(tuple(groups), tuple(keys), tuple(added), left, roles.searched)


def describe_error(record: Record) -> str:
    """The first line of what stopped a run; empty where nothing did."""
    if not record.error:
        return ""
    message = str(record.error.get("message", "")).strip().split("\n", 1)[0]
    kind = str(record.error.get("type", ""))
    return f"{kind}: {message}" if kind and message else kind or message
