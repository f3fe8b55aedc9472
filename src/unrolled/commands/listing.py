"""What runs there are below a folder, and in which state; quick for thousands of them."""

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from unrolled.comparison.collect import describe_error
from unrolled.comparison.formats import duration, whole
from unrolled.comparison.metrics import number
from unrolled.comparison.table import readable
from unrolled.errors import RunError
from unrolled.runs.progress import read_progress
from unrolled.runs.record import find_runs, read_record
from unrolled.runs.sweep_state import is_under_way, read_sweep
from unrolled.runs.task import Metric
from unrolled.runs.text import one_line

_MANY = 500
_WORDS = ("run", "study", "state", "metric", "device", "when")
# In the order in which they ask for attention.
STATES = {
    "damaged": "red",
    "failed": "red",
    "interrupted": "yellow",
    "paused": "yellow",
    "pruned": "magenta",
    "running": "cyan",
    "finished": "green",
}


@dataclass(frozen=True)
class RunLine:
    """One run of a listing.

    ``latest`` is the last validation's ``metric``, ``best`` the best so far; ``seconds`` are those
    of training, ``when`` is an ISO 8601 time: the end, or the start of a run that has none.
    ``error`` is the first line of what went wrong, ``device`` where it trains, and ``remaining``
    the seconds of training that are left at the pace so far, for a run under way. ``about`` is how
    the metric is read.
    """

    name: str
    study: str
    folder: Path
    state: str
    step: int | None = None
    total_steps: int | None = None
    metric: str | None = None
    latest: float | None = None
    best: float | None = None
    seconds: float | None = None
    tokens_per_second: float | None = None
    when: str | None = None
    device: str | None = None
    remaining: float | None = None
    error: str = ""
    about: Metric | None = field(default=None, repr=False)


def list_runs(folder: Path, metric: str | None = None) -> list[RunLine]:
    """Every run at or below ``folder``, by folder.

    Args:
        metric: what to show; None: the primary metric of the run's task, on the validation split.

    Raises:
        RunError: ``folder`` does not exist.
    """
    return [_line(path, folder, metric) for path in find_runs(folder)]


def needs_attention(line: RunLine) -> bool:
    """Whether a run failed, was interrupted, or has a damaged record."""
    return line.state in ("damaged", "failed", "interrupted")


def print_runs(lines: Sequence[RunLine], console: Console) -> None:
    """Print a table of ``lines``, and how many runs are in which state."""
    if not lines:
        console.print("no runs here; unrolled train makes one")
        return
    columns = _columns(lines)
    with readable(console):
        if len(lines) > _MANY or _width(columns) > console.width:
            # A cut figure or name is worse than a line that the terminal folds.
            console.out(_plain_table(columns), highlight=False)
        else:
            console.print(_table(columns))
    console.print(summary(lines), highlight=False)


def summary(lines: Sequence[RunLine]) -> str:
    """How many runs there are, and how many in which state."""
    counts = Counter(line.state for line in lines)
    words = [f"{counts[state]:,} {state}" for state in STATES if counts[state]]
    if waiting := _waiting(lines):
        words.append(f"{waiting:,} waiting")
    return f"{len(lines):,} run{'' if len(lines) == 1 else 's'}: {', '.join(words)}"


def _waiting(lines: Sequence[RunLine]) -> int:
    """How many runs the sweeps that are under way have not come to yet."""
    waiting = 0
    for study in {line.folder.parent for line in lines}:
        sweep = read_sweep(study)
        if sweep is None or not is_under_way(sweep):
            continue
        times = [
            progress.updated
            for line in lines
            if line.folder.parent == study and (progress := read_progress(line.folder))
        ]
        waiting += max(0, sweep["jobs"] - sum(time >= sweep["started"] for time in times))
    return waiting


def runs_json(lines: Sequence[RunLine]) -> str:
    """``lines`` as a JSON list, for other programs."""
    # In ASCII: of other characters a terminal may obey some.
    return json.dumps([_plain(line) for line in lines], indent=1, allow_nan=False)


def runs_csv(lines: Sequence[RunLine]) -> str:
    """``lines`` as CSV, for other programs."""
    text = io.StringIO()
    names = [one.name for one in fields(RunLine) if one.name != "about"]
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    for line in lines:
        plain = _plain(line)
        writer.writerow({k: one_line(v) if isinstance(v, str) else v for k, v in plain.items()})
    return text.getvalue()


def _plain(line: RunLine) -> dict[str, Any]:
    """A line's fields as JSON has them: paths and what is infinite as words."""
    values = {one.name: getattr(line, one.name) for one in fields(line) if one.name != "about"}
    values["folder"] = str(line.folder)
    infinite = {k: str(v) for k, v in values.items() if isinstance(v, float) and math.isinf(v)}
    return values | infinite


def _line(path: Path, top: Path, metric: str | None) -> RunLine:
    parent = path.parent
    study = str(parent.relative_to(top)) if parent.is_relative_to(top) else parent.name
    try:
        record = read_record(path)
        task = record.description
    except RunError as error:
        return RunLine(path.name, study, path, "damaged", error=str(error))
    state = record.state
    shown = metric or f"validation/{task.primary}"
    about = task.metrics.get(shown.rpartition("/")[2])
    values = [value for entry in record.history if (value := number(entry.get(shown))) is not None]
    best = number(record.metrics.get(shown))
    if best is None and values:
        best = (max if about is not None and not about.lower_is_better else min)(values)
    last = record.history[-1] if record.history else {}
    step = int(last.get("step") or 0)
    total: int | None = None
    remaining: float | None = None
    seconds = number(record.timing.get("seconds")) or number(last.get("seconds"))
    speed = number(record.timing.get("tokens_per_second"))
    # A finished record says it all; a second file for each of thousands would be time lost.
    if state == "finished":
        total = step
    elif progress := read_progress(path):
        step, total = max(step, progress.step), progress.total_steps
        if state == "running":
            seconds, speed = progress.seconds, progress.tokens_per_second
            if progress.step and total:
                remaining = progress.seconds / progress.step * (total - progress.step)
    return RunLine(
        name=record.name,
        study=study,
        folder=path,
        state=state,
        step=step,
        total_steps=total,
        metric=shown,
        latest=values[-1] if values else None,
        best=best,
        seconds=seconds,
        tokens_per_second=speed,
        when=record.timing.get("ended") or record.timing.get("started"),
        device=record.environment.get("device"),
        remaining=remaining,
        error=describe_error(record) if state not in ("finished", "paused", "pruned") else "",
        about=about,
    )


def _columns(lines: Sequence[RunLine]) -> dict[str, list[str]]:
    metrics = {line.metric for line in lines if line.metric}
    columns = {
        "run": [one_line(line.name) for line in lines],
        "study": [one_line(line.study) for line in lines],
        "state": [line.state for line in lines],
        "steps": [_steps(line) for line in lines],
    }
    latest = [_figure(line, line.latest) for line in lines]
    if len(metrics) == 1:
        columns[one_line(metrics.pop())] = latest
    else:
        columns |= {"metric": [one_line(line.metric or "-") for line in lines], "latest": latest}
    columns |= {
        "best": [_figure(line, line.best) for line in lines],
        "seconds": [duration(line.seconds) for line in lines],
        "tokens/s": [whole(line.tokens_per_second) for line in lines],
    }
    if any(line.remaining is not None for line in lines):
        columns["left"] = [duration(line.remaining) for line in lines]
    if any(line.device not in (None, "cpu") for line in lines):
        columns["device"] = [one_line(str(line.device or "-")) for line in lines]
    columns["when"] = [_when(line.when) for line in lines]
    if set(columns["study"]) == {"."}:
        del columns["study"]
    return columns


def _table(columns: dict[str, list[str]]) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for name in columns:
        words = name in _WORDS
        table.add_column(
            Text(name.replace("/", "/\n")),
            justify="left" if words else "right",
            no_wrap=True,
        )
    for cells in zip(*columns.values(), strict=True):
        table.add_row(*(Text(cell, style=STATES.get(cell, "")) for cell in cells))
    return table


def _width(columns: dict[str, list[str]]) -> int:
    """How wide the table is with nothing cut, its headings folded at a slash."""
    widths = (
        max(*map(len, name.replace("/", "/\n").split("\n")), *map(len, cells))
        for name, cells in columns.items()
    )
    return sum(width + 1 for width in widths)


def _plain_table(columns: dict[str, list[str]]) -> str:
    """The same columns as text: rich needs seconds to lay out thousands of rows."""
    padded = []
    for name, cells in columns.items():
        width = max(len(name), *map(len, cells))
        pad = str.ljust if name in _WORDS else str.rjust
        padded.append([pad(cell, width) for cell in (name, *cells)])
    return "\n".join("  ".join(cells).rstrip() for cells in zip(*padded, strict=True))


def _steps(line: RunLine) -> str:
    if line.step is None:
        return "-"
    if line.total_steps is None or line.state == "finished":
        return f"{line.step:,}"
    return f"{line.step:,}/{line.total_steps:,}"


def _figure(line: RunLine, value: float | None) -> str:
    return (line.about or Metric("min")).written(value)


def _when(stamp: str | None) -> str:
    """An ISO 8601 time as the local day and minute; what is no such time, as it stands."""
    try:
        return datetime.fromisoformat(str(stamp or "")).astimezone().strftime("%m-%d %H:%M")
    except ValueError:
        return one_line(str(stamp or "-"))
