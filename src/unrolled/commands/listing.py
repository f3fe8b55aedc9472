"""What runs there are below a folder, and in which state; quick for thousands of them."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from unrolled.comparison.collect import describe_error
from unrolled.comparison.formats import duration, whole
from unrolled.comparison.metrics import PERPLEXITY
from unrolled.comparison.table import readable
from unrolled.errors import RunError
from unrolled.metrics.names import lower_is_better
from unrolled.runs.progress import read_progress
from unrolled.runs.record import Record, find_runs, read_record
from unrolled.runs.sweep_state import is_under_way, read_sweep

_MANY = 500
_WORDS = ("run", "study", "state", "device", "when")
# In the order in which they ask for attention.
STATES = {
    "damaged": "red",
    "failed": "red",
    "interrupted": "yellow",
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
    the seconds of training that are left at the pace so far, for a run under way.
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


def list_runs(folder: Path, failed: bool = False, metric: str | None = None) -> list[RunLine]:
    """Every run at or below ``folder``, by folder; with ``failed`` only those that need attention.

    Args:
        failed: only runs that failed, were interrupted, or whose record is damaged.
        metric: what to show; None: validation perplexity, or else what the run's task monitors.

    Raises:
        RunError: ``folder`` does not exist.
    """
    lines = [_line(path, folder, metric) for path in find_runs(folder)]
    wanted = ("damaged", "failed", "interrupted")
    return [line for line in lines if line.state in wanted] if failed else lines


def print_runs(lines: Sequence[RunLine], console: Console) -> None:
    """A table of ``lines``, the failures' reasons, and how many runs are in which state."""
    if not lines:
        console.print("no runs here; unrolled train makes one")
        return
    columns = _columns(lines)
    if len(lines) > _MANY or _width(columns) > console.width:
        # A cut figure or name is worse than a line that the terminal folds.
        console.out(_plain_table(columns), highlight=False)
    else:
        with readable(console):
            console.print(_table(columns))
    counts = Counter(line.state for line in lines)
    words = [f"{counts[state]:,} {state}" for state in STATES if counts[state]]
    if waiting := _waiting(lines):
        words.append(f"{waiting:,} waiting")
    console.print(f"{len(lines):,} run{'' if len(lines) == 1 else 's'}: {', '.join(words)}")


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
    values = [asdict(line) | {"folder": str(line.folder)} for line in lines]
    return json.dumps(values, indent=1, ensure_ascii=False)


def _line(path: Path, top: Path, metric: str | None) -> RunLine:
    parent = path.parent
    study = str(parent.relative_to(top)) if parent.is_relative_to(top) else parent.name
    try:
        record = read_record(path)
    except RunError as error:
        return RunLine(path.name, study, path, "damaged", error=str(error))
    state = record.state
    shown = metric or _default_metric(record)
    values = [
        value for entry in record.history if (value := _number(entry.get(shown))) is not None
    ]
    best = _number(record.metrics.get(shown))
    if best is None and values:
        best = (min if lower_is_better(shown) else max)(values)
    last = record.history[-1] if record.history else {}
    step = int(last.get("step") or 0)
    total: int | None = None
    remaining: float | None = None
    seconds = _number(record.timing.get("seconds")) or _number(last.get("seconds"))
    speed = _number(record.timing.get("tokens_per_second"))
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
        error=describe_error(record) if state not in ("finished", "pruned") else "",
    )


def _default_metric(record: Record) -> str:
    if PERPLEXITY in record.metrics or (record.history and PERPLEXITY in record.history[-1]):
        return PERPLEXITY
    task = record.config.get("task")
    return str(task.get("monitor", PERPLEXITY)) if isinstance(task, dict) else PERPLEXITY


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _columns(lines: Sequence[RunLine]) -> dict[str, list[str]]:
    metrics = {line.metric for line in lines if line.metric}
    columns = {
        "run": [line.name for line in lines],
        "study": [line.study for line in lines],
        "state": [line.state for line in lines],
        "steps": [_steps(line) for line in lines],
        metrics.pop() if len(metrics) == 1 else "metric": [_figure(line.latest) for line in lines],
        "best": [_figure(line.best) for line in lines],
        "seconds": [duration(line.seconds) for line in lines],
        "tokens/s": [whole(line.tokens_per_second) for line in lines],
    }
    if any(line.remaining is not None for line in lines):
        columns["left"] = [duration(line.remaining) for line in lines]
    if any(line.device not in (None, "cpu") for line in lines):
        columns["device"] = [line.device or "-" for line in lines]
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


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _when(stamp: str | None) -> str:
    """An ISO 8601 time as the local day and minute; what is no such time, as it stands."""
    try:
        return datetime.fromisoformat(stamp or "").astimezone().strftime("%m-%d %H:%M")
    except ValueError:
        return stamp or "-"
