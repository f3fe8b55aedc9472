"""The growing files of a run, cut back to where a checkpoint has them."""

import csv
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from unrolled.runs.files import atomic_path
from unrolled.runs.record import CHECKPOINTS

METRICS = "metrics.csv"
# What an attempt that nothing goes on from may have left in a run's folder.
LEFTOVERS = (CHECKPOINTS, METRICS, "events.out.*", "hparams.yaml", "wandb", "comet")


def sizes(folder: Path, appended: Iterable[str]) -> dict[str, int]:
    """How much there is: the rows of the metrics, the bytes of the files that a task adds to."""
    paths = {name: folder / name for name in appended}
    return {
        METRICS: len(rows(folder / METRICS)),
        **{name: path.stat().st_size if path.is_file() else 0 for name, path in paths.items()},
    }


def cut(folder: Path, to: dict[str, int]) -> None:
    """Remove what was written after ``sizes`` gave ``to``, half a line included."""
    metrics = folder / METRICS
    # By rows and not by bytes, since a later header may have more columns.
    kept = rows(metrics)[: to[METRICS]]
    columns = {key for row in kept for key, value in row.items() if value}
    if kept:
        write(metrics, kept, sorted(columns))
    else:
        metrics.unlink(missing_ok=True)
    for name, size in to.items():
        path = folder / name
        if name != METRICS and path.is_file() and path.stat().st_size > size:
            with path.open("r+b") as file:
                file.truncate(size)


def clear(folder: Path, appended: Iterable[str]) -> None:
    """Remove what an attempt left, so that its curves do not mix with the next one's."""
    for pattern in (*LEFTOVERS, *appended):
        for path in folder.glob(pattern):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def rows(path: Path) -> list[dict[str, str]]:
    """The rows of a table, as words; none where there is no table."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [
            {key: value for key, value in row.items() if key is not None and value is not None}
            for row in csv.DictReader(file)
        ]


def write(path: Path, rows: Sequence[dict[str, str]], columns: Sequence[str]) -> None:
    """Replace a table in one step."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
