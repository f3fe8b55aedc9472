"""The growing files of a run, cut back to where a checkpoint has them."""

import csv
import shutil
from collections.abc import Sequence
from pathlib import Path

from unrolled.runs.files import atomic_path

METRICS, SAMPLES = "metrics.csv", "samples.txt"
# What an attempt that nothing goes on from may have left in a run's folder.
LEFTOVERS = ("checkpoints", METRICS, SAMPLES, "events.out.*", "hparams.yaml")


def sizes(folder: Path) -> dict[str, int]:
    """How much there is: the rows of the metrics, the bytes of the samples."""
    samples = folder / SAMPLES
    return {
        METRICS: len(rows(folder / METRICS)),
        SAMPLES: samples.stat().st_size if samples.is_file() else 0,
    }


def cut(folder: Path, to: dict[str, int]) -> None:
    """Remove what was written after ``sizes`` gave ``to``, half a line included."""
    metrics, samples = folder / METRICS, folder / SAMPLES
    # By rows and not by bytes, since a later header may have more columns.
    kept = rows(metrics)[: to[METRICS]]
    columns = {key for row in kept for key, value in row.items() if value}
    if kept:
        write(metrics, kept, sorted(columns))
    else:
        metrics.unlink(missing_ok=True)
    if samples.is_file() and samples.stat().st_size > to[SAMPLES]:
        with samples.open("r+b") as file:
            file.truncate(to[SAMPLES])


def clear(folder: Path) -> None:
    """Remove what an attempt left, so that its curves do not mix with the next one's."""
    for pattern in LEFTOVERS:
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
