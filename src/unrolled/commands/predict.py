"""``unrolled predict``: a trained run's answers for new data: classes, values or forecasts."""

import argparse
import contextlib
import csv
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from unrolled.commands.options import add_trust, trusted_prefixes
from unrolled.config.build import OURS
from unrolled.errors import ConfigError
from unrolled.runs.files import atomic_path
from unrolled.runs.text import one_line
from unrolled.tasks.prediction import NewData, PredictingTask
from unrolled.training.load import load_trained_run


def add_parser(subparsers: Any, summary: str) -> argparse.ArgumentParser:
    """Add the subcommand."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "predict",
        allow_abbrev=False,
        help=summary,
        description="Answers of a run's best checkpoint for new data, as CSV: a row for each text "
        "or sequence, with the probability of each class where there are classes; of a forecast a "
        "row for each step that follows.",
    )
    parser.add_argument("folder", type=Path, metavar="RUN", help="a run folder")
    parser.add_argument(
        "file",
        nargs="?",
        default="-",
        metavar="FILE",
        help="lines of text; a table with a column of texts (.csv, .tsv, .jsonl, .parquet); for a "
        "model of numbers JSON lines, each a list of steps; for a forecast a table with a row a "
        "step, on standard input CSV; -: standard input, the default",
    )
    parser.add_argument(
        "--column", metavar="NAME", help="the texts' column of a table, or a series' of times"
    )
    parser.add_argument("--json", action="store_true", help="JSON lines in place of CSV")
    parser.add_argument("--output", type=Path, metavar="FILE", help="default: standard output")
    add_trust(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    """Print or write the answers."""
    path = None if options.file == "-" else Path(options.file)
    rows = predict(
        options.folder,
        path,
        column=options.column,
        trusted=trusted_prefixes(options),
    )
    with _opened(options.output) as out:
        write_rows(rows, out, as_json=options.json)
    return 0


def predict(
    folder: Path,
    path: Path | None,
    *,
    column: str | None = None,
    trusted: Iterable[str] = OURS,
) -> Iterator[Mapping[str, Any]]:
    """The answers of a run's best checkpoint for the data in ``path``, a row each.

    Args:
        path: of a file; None: standard input.
        column: of a table, that of the texts, or of a series' times; None: as the run's own data
            had it.
        trusted: prefixes of modules outside this package that the configuration may name.

    Raises:
        RunError: the folder holds no trained run.
        ConfigError: the run's task answers for no new data.
        DataError: the file cannot be read, or is not what the model reads.
    """
    run = load_trained_run(folder, trusted)
    if not isinstance(run.task, PredictingTask):
        raise ConfigError(f"{folder}: task={run.task.name} predicts nothing for new data")
    inputs = run.task.read_new(run.fitted, NewData(path, column, run.config.dataset))
    # torch comes with the model, and a wrong file must not wait for it.
    return run.task.predict(run.fitted, run.best_model(), inputs)


def write_rows(rows: Iterable[Mapping[str, Any]], out: TextIO, *, as_json: bool) -> None:
    """Write answers as CSV, or as JSON lines."""
    writer = None
    shown = one_line if out.isatty() else str
    for row in rows:
        if as_json:
            out.write(json.dumps(row, ensure_ascii=out.isatty()) + "\n")
            continue
        if writer is None:
            writer = csv.DictWriter(out, [*row], lineterminator="\n")
            writer.writeheader()
        texts = {key: shown(v) if isinstance(v, str) else _number(v) for key, v in row.items()}
        writer.writerow(texts)


def _number(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value


@contextlib.contextmanager
def _opened(path: Path | None) -> Iterator[TextIO]:
    """A file that is there whole or not at all, or standard output."""
    if path is None:
        yield sys.stdout
        return
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as out:
        yield out
