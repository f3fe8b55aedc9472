"""What a display says of a run in one line: where it is, or what became of it."""

from pathlib import Path

from rich.text import Text

from unrolled.errors import RunError
from unrolled.runs.progress import Progress
from unrolled.runs.record import Record, read_record
from unrolled.runs.text import printable


def where_line(progress: Progress) -> str:
    """Where a run is: its step, its latest metric, its speed."""
    if progress.stage != "training":
        return one_line(progress.stage)
    total = "" if progress.total_steps is None else f"/{progress.total_steps:,}"
    words = [f"step {progress.step:,}{total}"]
    if progress.metric and progress.value is not None:
        words.append(f"{progress.metric} {progress.value:.4g}")
    if progress.device not in (None, "cpu"):
        words.append(str(progress.device))
    if progress.tokens_per_second:
        words.append(f"{progress.tokens_per_second:,.0f} tokens/s")
    return one_line("  ".join(words))


def end_line(folder: Path, status: str, message: str) -> Text:
    """What became of a run.

    Args:
        status: of its outcome.
        message: why, where it is not finished.
    """
    line = Text(f"{one_line(folder.name)}  ")
    if status == "finished":
        return line.append(_result(folder))
    if status == "skipped":
        return line.append("skipped, it is finished already")
    if status == "pruned":
        return line.append(one_line(message))
    return line.append(status, style="red").append(f"  {one_line(message)}".rstrip())


def recorded_end(folder: Path, stage: str) -> tuple[str, str]:
    """How a run ended and why, as its record has it.

    Args:
        stage: the last one of its progress.
    """
    if stage in ("finished", "skipped"):
        return stage, ""
    try:
        record = read_record(folder)
    except RunError as error:
        return stage, str(error)
    message = record.error.get("message") if isinstance(record.error, dict) else None
    return record.state, message if isinstance(message, str) else ""


def one_line(text: str) -> str:
    """The first line of a text, safe to show."""
    return printable(text.strip().partition("\n")[0]).replace("\t", " ")


def _result(folder: Path) -> str:
    """The primary metric of a finished run, and how long it took."""
    try:
        record = read_record(folder)
        words = _figures(record)
    except RunError as error:
        return one_line(f"finished, but {error}")
    seconds = record.timing.get("total_seconds")
    if isinstance(seconds, int | float):
        words.append(f"{seconds:.0f} s")
    continued = record.timing.get("continued")
    last = continued[-1] if isinstance(continued, list) and continued else {}
    if isinstance(last, dict) and isinstance(last.get("step"), int):
        words.append(f"continued from step {last['step']:,}")
    return one_line("  ".join(words))


def _figures(record: Record) -> list[str]:
    description = record.description
    metric = description.metric(description.primary)
    names = [f"{split}/{description.primary}" for split in ("validation", "test")]
    words = []
    for name in names:
        value = record.metrics.get(name)
        if not isinstance(value, int | float):
            continue
        try:
            words.append(f"{name} {metric.written(value)}")
        except ValueError:
            # A format that is none.
            words.append(f"{name} {value}")
    return words
