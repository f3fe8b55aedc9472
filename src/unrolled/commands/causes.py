"""Why runs are not finished: each cause once, for however many runs."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from unrolled.commands.listing import STATES, RunLine
from unrolled.runs.record import RECORD
from unrolled.runs.sweep_state import read_sweep
from unrolled.runs.text import one_line

# Names of runs that are printed for a cause; the rest are counted.
_SHOWN = 4
# What differs between runs of one cause: paths, numbers, and the seeds of names.
_VARYING = re.compile(r"(?:[\w.~-]*/)+[\w.-]+|[-+]?\d[\d,._]*(?:e[-+]?\d+)?", re.IGNORECASE)


@dataclass(frozen=True)
class Cause:
    """What stopped some runs.

    ``message`` is the first run's, in its own words; ``runs`` are in the order of the listing.
    """

    state: str
    message: str
    runs: list[RunLine]


def causes(lines: Sequence[RunLine]) -> list[Cause]:
    """The runs that something stopped, by what it was; the most frequent first."""
    found: dict[tuple[str, str], list[RunLine]] = {}
    for line in lines:
        if line.error:
            found.setdefault((line.state, _VARYING.sub("#", line.error)), []).append(line)
    groups = [Cause(state, runs[0].error, runs) for (state, _), runs in found.items()]
    return sorted(groups, key=lambda cause: -len(cause.runs))


def print_causes(lines: Sequence[RunLine], console: Console) -> None:
    """Print each cause, the runs that it stopped, where a traceback is; then what to type."""
    for cause in causes(lines):
        names = [run.name for run in cause.runs]
        count = f"{len(names):,} runs" if len(names) > 1 else names[0]
        head = Text(one_line(f"{cause.state}: {count}: "), style="bold")
        head.append(one_line(cause.message), style=STATES[cause.state])
        console.print(head, soft_wrap=True)
        if len(names) > 1:
            more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
            said = f"  {', '.join(names[:_SHOWN])}{more}"
            console.print(Text(one_line(said)), soft_wrap=True)
        if cause.state == "failed":
            said = f"  traceback: {cause.runs[0].folder / RECORD}"
            console.print(Text(one_line(said)), soft_wrap=True)
    for command in _commands(lines):
        console.print(Text(one_line(command)), soft_wrap=True)


def _commands(lines: Sequence[RunLine]) -> Iterator[str]:
    """For each study, what goes on with it and what retries its failures."""
    states: dict[Path, set[str]] = {}
    for line in lines:
        if line.error:
            states.setdefault(line.folder.parent, set()).add(line.state)
    for study, there in sorted(states.items()):
        sweep = read_sweep(study)
        command = sweep.get("command") if sweep else None
        if not command:
            continue
        if "failed" in there:
            retry = "" if "retry_failed=true" in command else " retry_failed=true"
            yield f"to retry what failed: {command}{retry}"
        elif "interrupted" in there:
            yield f"to go on with what is left: {command}"
