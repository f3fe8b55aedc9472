"""A comparison for TensorBoard: for each row a run that is the mean of its runs with its band, and
a run with the table, the pictures and the layout of the custom scalars."""

import itertools
import re
import shutil
import struct
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from unrolled.comparison.metrics import metric_in_words
from unrolled.comparison.plots import curve, mean_curve
from unrolled.comparison.results import Comparison
from unrolled.comparison.rows import Row
from unrolled.errors import StorageError
from unrolled.runs.files import remove_leftovers, temporary_path

if TYPE_CHECKING:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.compat.proto.tensor_pb2 import TensorProto

FOLDER = "tensorboard"
SUMMARY = "comparison"
SPLIT = "validation/"
# TensorBoard orders its groups by name: this one comes behind the curves.
BAND = "validation_band"
# TensorBoard draws no more runs than can be told apart.
MOST_ROWS = 40
_NO_NAME = re.compile(r"[^\w.+=, -]+")


def write_tensorboard(
    comparison: Comparison, output: Path, table: str, pictures: Sequence[Path]
) -> Path:
    """Write the event files of a comparison in place of those that were there.

    ``mean of LABEL`` has the mean of a row's runs under the tags of their own curves, so that both
    stand in the same charts, and as its band the lowest and the highest of them.

    Args:
        output: the folder of the comparison.
        table: the report, as Markdown.
        pictures: PNG files.

    Returns:
        The folder of the event files.

    Raises:
        StorageError: it cannot be written.
    """
    folder = output / FOLDER
    temporary = temporary_path(folder)
    try:
        output.mkdir(parents=True, exist_ok=True)
        remove_leftovers(output)
        rows = comparison.rows[:MOST_ROWS]
        metrics = _metrics(comparison, rows)
        # TensorBoard gives its few colours to runs in the order of their first events: the means
        # come first, so that each has its own.
        first = min(map(_begin, rows)) - len(rows)
        for rank, (name, row) in enumerate(zip(_names(rows), rows, strict=True)):
            _write(temporary / name, first + rank, _mean_events(row, metrics))
        _write(temporary / SUMMARY, time.time(), _summary_events(metrics, table, pictures))
        # A folder cannot take the place of one that is not empty.
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
    except OSError as error:
        raise StorageError(f"{output}: cannot be written ({error.strerror})") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _names(rows: Sequence[Row]) -> list[str]:
    """What the rows' runs are called; a label may hold what a folder's name cannot."""
    names: dict[str, None] = {}
    for row in rows:
        plain = name = f"mean of {_NO_NAME.sub('_', row.label)[:100]}"
        while name in names:
            name = f"{plain} {len(names) + 1}"
        names[name] = None
    return list(names)


def _metrics(comparison: Comparison, rows: Sequence[Row]) -> list[str]:
    """The validation metrics of the curves, that of the comparison first."""
    entries = [entry for row in rows for run in row.runs for entry in run.record.history]
    names = {name: None for entry in entries for name in entry if name.startswith(SPLIT)}
    first = SPLIT + comparison.metric.partition("/")[2]
    return sorted(names, key=lambda name: name != first)


def _mean_events(row: Row, metrics: Iterable[str]) -> Iterator["Event"]:
    begin = _begin(row)
    for metric in metrics:
        curves = [one for run in row.runs if (one := curve(run, metric))[0]]
        steps, seconds, means = mean_curve(curves)
        # A busy machine can make a later validation look earlier.
        seconds = list(itertools.accumulate(seconds, max))
        by_step = [dict(zip(one[0], one[2], strict=True)) for one in curves]
        for step, second, mean in zip(steps, seconds, means, strict=True):
            values = [one[step] for one in by_step]
            band = dict(zip(_band(metric), (mean, min(values), max(values)), strict=True))
            figures = {metric: mean, **band}
            yield _event(begin + second, int(step), _scalars(figures))


def _band(metric: str) -> tuple[str, str, str]:
    """The tags of the mean, the lowest and the highest run, which no single run has."""
    name = metric.removeprefix(SPLIT)
    return f"{BAND}/{name}_mean", f"{BAND}/{name}_lowest", f"{BAND}/{name}_highest"


def _summary_events(
    metrics: Sequence[str], table: str, pictures: Sequence[Path]
) -> Iterator["Event"]:
    now = time.time()
    if metrics:
        yield _event(now, 0, [_layout(metrics)])
    yield _event(now, 0, [_text("comparison/report", table)])
    for path in pictures:
        yield _event(now, 0, [_image(f"comparison/{path.stem}", path.read_bytes())])


def _scalars(figures: Mapping[str, float]) -> list["Summary.Value"]:
    from tensorboard.compat.proto.summary_pb2 import Summary

    return [Summary.Value(tag=tag, simple_value=value) for tag, value in figures.items()]


def _text(tag: str, markdown: str) -> "Summary.Value":
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.text.metadata import create_summary_metadata

    return Summary.Value(
        tag=tag,
        metadata=create_summary_metadata(display_name="", description=""),
        tensor=_bytes(markdown.encode()),
    )


def _image(tag: str, png: bytes) -> "Summary.Value":
    from tensorboard.compat.proto.summary_pb2 import Summary

    width, height = struct.unpack(">II", png[16:24])
    image = Summary.Image(height=height, width=width, colorspace=4, encoded_image_string=png)
    return Summary.Value(tag=tag, image=image)


def _layout(metrics: Sequence[str]) -> "Summary.Value":
    """Of the custom scalars: the rows' means with their bands in one chart, and below it the
    curves of all runs, for each metric."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.custom_scalar import layout_pb2, metadata

    def category(names: Sequence[str], title: str, closed: bool) -> layout_pb2.Category:
        charts = []
        for name in names:
            mean, low, high = _band(name)
            series = layout_pb2.MarginChartContent.Series(value=mean, lower=low, upper=high)
            band = layout_pb2.MarginChartContent(series=[series])
            every = layout_pb2.MultilineChartContent(tag=[f"^{re.escape(name)}$"])
            words = metric_in_words(name)
            charts += [
                layout_pb2.Chart(title=f"{words}: mean, lowest, highest", margin=band),
                layout_pb2.Chart(title=f"{words}: every run", multiline=every),
            ]
        return layout_pb2.Category(title=title, chart=charts, closed=closed)

    categories = [category(metrics[:1], metric_in_words(metrics[0]), closed=False)]
    if metrics[1:]:
        categories.append(category(metrics[1:], "other metrics", closed=True))
    layout = layout_pb2.Layout(category=categories)
    return Summary.Value(
        tag=metadata.CONFIG_SUMMARY_TAG,
        metadata=metadata.create_summary_metadata(),
        tensor=_bytes(layout.SerializeToString()),
    )


def _bytes(value: bytes) -> "TensorProto":
    from tensorboard.compat.proto.tensor_pb2 import TensorProto

    return TensorProto(dtype="DT_STRING", string_val=[value])


def _event(wall_time: float, step: int, values: Iterable["Summary.Value"]) -> "Event":
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

    return Event(wall_time=wall_time, step=step, summary=Summary(value=values))


def _write(folder: Path, first: float, events: Iterable["Event"]) -> None:
    """Write a run's event file, which begins at the time ``first``."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.record_writer import RecordWriter

    folder.mkdir(parents=True)
    # TensorBoard reads the files of a folder in the order of their names.
    with (folder / f"events.out.tfevents.{time.time_ns()}").open("wb") as file:
        writer = RecordWriter(file)
        writer.write(Event(wall_time=first, file_version="brain.Event:2").SerializeToString())
        for event in events:
            writer.write(event.SerializeToString())


def _begin(row: Row) -> float:
    """When the first of a row's runs began, in seconds since 1970."""
    started = [str(run.record.timing.get("started")) for run in row.runs]
    return min(filter(None, map(_seconds, started)), default=time.time())


def _seconds(timestamp: str) -> float | None:
    """A record's time as seconds since 1970; None for what is none."""
    try:
        return datetime.fromisoformat(timestamp).timestamp()
    except ValueError:
        return None
