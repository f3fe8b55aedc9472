"""Fair studies as their records have them: final runs, the searches before them, and what the
searches chose."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unrolled.comparison.grouping import FINAL, SEARCH, Run, flatten
from unrolled.comparison.searches import Trial
from unrolled.runs.record import look_up

# A share of a searched interval, from an end, within which an optimum may lie beyond it.
EDGE = 0.05
# Of two trials one is always the lowest and the other the highest.
_FEWEST_TRIALS = 3
_INTERVAL = re.compile(r"interval\(\s*([^,]+?)\s*,\s*([^)]+?)\s*\)")


@dataclass(frozen=True)
class Roles:
    """Runs by what they are for.

    Attributes:
        compared: final runs, and runs of no fair study; where a fair study has no final run yet,
            its trials.
        searched: the trials of fair studies that have final runs.
        superseded: final runs of a setting that a longer or later search no longer chooses.
    """

    compared: tuple[Run, ...]
    searched: tuple[Run, ...]
    superseded: tuple[Run, ...]


def by_role(runs: Sequence[Run]) -> Roles:
    """Tell a fair study's final runs from those of its searches."""
    finals: dict[tuple[Path, str], list[Run]] = {}
    for run in runs:
        if run.role == FINAL:
            finals.setdefault(_search_of(run), []).append(run)
    latest = {key: _setting(max(members, key=_age)) for key, members in finals.items()}
    studies = {folder for folder, _ in finals}
    compared, searched, superseded = [], [], []
    for run in runs:
        if run.role == SEARCH and run.folder.parent in studies:
            searched.append(run)
        elif run.role == FINAL and _setting(run) != latest[_search_of(run)]:
            superseded.append(run)
        else:
            compared.append(run)
    return Roles(tuple(compared), tuple(searched), tuple(superseded))


def chosen(run: Run) -> dict[str, Any]:
    """What the search chose for a final run: key to value, a group's choice by its name."""
    config = flatten(run.record.config)
    found = {}
    for line in run.searched:
        key = line.partition("=")[0]
        found[key] = config.get(key, config.get(f"{key}.name"))
    return found


def chosen_in_words(run: Run) -> str:
    """``optimizer.lr=0.0213 model.forget_bias=1``."""
    return " ".join(f"{key}={_word(value)}" for key, value in chosen(run).items())


def at_an_edge(run: Run, trials: Sequence[Trial] = ()) -> Iterable[str]:
    """For each searched interval whose end the chosen value is at, or beyond which nothing was
    tried, a sentence with the way to widen it.

    Args:
        trials: of the search behind the run; unless all of them came to a figure, only the ends
            of the interval count, since one that failed may have tried what lies beyond.
    """
    values = chosen(run)
    whole = len(trials) == trials_of(run) and len(trials) >= _FEWEST_TRIALS
    for line in run.searched:
        key = line.partition("=")[0]
        match, value = _INTERVAL.search(line), values[key]
        if match is None or not isinstance(value, int | float) or isinstance(value, bool):
            continue
        low, high = map(float, match.groups())
        log = "log" in line.partition("interval")[0]
        tried = (
            [float(trial.settings.get(key, value)) for trial in trials] if whole else [low, high]
        )
        below = (low / (high / low) ** 0.5 if log else low - (high - low) / 2, high)
        above = (low, high * (high / low) ** 0.5 if log else high + (high - low) / 2)
        if value <= _between(low, high, EDGE, log):
            where, wider = "at the end of what was searched", below
        elif value >= _between(low, high, 1 - EDGE, log):
            where, wider = "at the end of what was searched", above
        elif value <= min(tried):
            where, wider = f"the lowest of the {len(tried)} tried", below
        elif value >= max(tried):
            where, wider = f"the highest of the {len(tried)} tried", above
        else:
            continue
        interval = f"interval({wider[0]:.3g}, {wider[1]:.3g})"
        yield (
            f"{key}={_word(value)} is {where} ({low:g} to {high:g}), so "
            f"something better may lie beyond; widen it: "
            f"'{key}={f'tag(log, {interval})' if log else interval}'"
        )


def trials_of(run: Run) -> int | None:
    """How many trials the search behind a final run has."""
    trials = look_up(run.record, "config.trial.trials")
    return trials if isinstance(trials, int) else None


def _between(low: float, high: float, share: float, log: bool) -> float:
    return float(low * (high / low) ** share) if log else low + share * (high - low)


def _search_of(run: Run) -> tuple[Path, str]:
    return run.folder.parent, str(look_up(run.record, "config.trial.search"))


def _setting(run: Run) -> tuple[object, ...]:
    return run.searched, look_up(run.record, "config.trial.number")


def _age(run: Run) -> tuple[int, str]:
    return trials_of(run) or 0, str(run.record.timing.get("started", ""))


def _word(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
