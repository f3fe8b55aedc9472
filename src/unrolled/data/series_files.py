"""A person's own series: a table with a row a step and a column a variable."""

import csv
import difflib
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from unrolled.data.series import Series, parse_time, time_as_number
from unrolled.errors import DataError

Missing = Literal["refuse", "drop", "interpolate"]
Values = npt.NDArray[np.float64]

# How a value that is not there is written, in small letters.
ABSENT = ("", "na", "n/a", "nan", "null", "none", "?", "-")
# What a file is, by the end of its name.
KINDS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".txt": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}
SEPARATORS = {"csv": ",", "tsv": "\t"}
# Between steps that are longer than this many usual ones, steps are missing.
GAP = 1.5


@dataclass(frozen=True)
class Steps:
    """What a table says of a series.

    Attributes:
        values: ``[time, variables]``, finite.
        variables: the names of the columns.
        times: what each step is called.
        treated: what was done to the data, with its count.
    """

    values: Values
    variables: Sequence[str]
    times: Sequence[str]
    treated: Mapping[str, int]


def load_series(
    name: str,
    path: str,
    time: str | None,
    variables: list[str] | None,
    targets: list[str] | None,
    season: int,
    missing: Missing,
    unit: str,
    validation_fraction: float,
    test_fraction: float,
) -> Series:
    """A CSV, TSV, JSON lines or Parquet file.

    Args:
        time: the column of time stamps, in order; None: the rows are the steps.
        variables: the columns to read; None: all that hold numbers.
        targets: which of them to predict; None: all.
        missing: what to do about values that are not there: refuse them, drop their rows, or
            interpolate between their neighbours in time (rows before a variable's first value,
            and after its last, are dropped).

    Raises:
        DataError: the file cannot be read, has no such column, or holds what is no number, or
            time stamps that are not in order; the message has the line.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise DataError(f"dataset.path={path}: no such file (looked in {Path.cwd()})")
    kind = KINDS.get(file.suffix.lower())
    if kind is None:
        raise DataError(f"dataset.path={path}: a series is read from {', '.join(KINDS)}")
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror})") from error
    steps = read_steps(content, str(file), kind, time, variables, missing)
    for target in targets or ():
        if target not in steps.variables:
            raise DataError(
                f"dataset.targets={target}: no variable of it{_nearest(target, steps.variables)} "
                f"(it has: {', '.join(steps.variables)})"
            )
    return Series(
        name,
        steps.values,
        steps.variables,
        targets or steps.variables,
        steps.times,
        season,
        unit,
        validation_fraction,
        test_fraction,
        steps.treated,
    )


def read_steps(
    content: bytes,
    name: str,
    kind: str,
    time: str | None,
    variables: Sequence[str] | None,
    missing: Missing,
) -> Steps:
    """The steps of a table.

    Args:
        content, name: of the file; the name is for messages.
        kind: ``csv``, ``tsv``, ``jsonl`` or ``parquet``.
        time, variables, missing: see ``load_series``.

    Raises:
        DataError: as ``load_series``.
    """
    table = _Table(content, name, kind)
    times = [str(step + 1) for step in range(len(table))]
    treated: dict[str, int] = {}
    if time is not None:
        times = table.times(time)
        if gaps := _gaps(times):
            treated["steps longer than the usual one"] = gaps
    if not variables:
        variables, without = table.numeric(time)
        if without:
            treated[f"columns without numbers left out ({', '.join(without)})"] = len(without)
    values = np.stack([table.numbers(column, "dataset.variables") for column in variables], 1)
    if missing == "refuse":
        table.refuse_missing(values, variables)
    values, kept = treat_missing(values, missing, treated)
    if not len(values):
        raise DataError(f"{name}: no row in it has a value of every variable")
    return Steps(values, variables, [times[step] for step in kept], treated)


def treat_missing(
    values: Values, missing: Missing, treated: dict[str, int]
) -> tuple[Values, npt.NDArray[np.int64]]:
    """Values ``[time, variables]`` without missing ones (NaN), and which steps they are of.

    Args:
        treated: what was done is added here, with its count.
    """
    kept = np.arange(len(values))
    absent = np.isnan(values)
    if missing == "interpolate" and absent.any():
        there = [np.flatnonzero(~column) for column in absent.T]
        first = max((int(s[0]) if len(s) else len(values)) for s in there)
        last = min((int(s[-1]) if len(s) else -1) for s in there)
        if cut := len(values) - max(0, last + 1 - first):
            treated["rows dropped before a first value or after a last"] = cut
        kept = kept[first : last + 1]
        treated["missing values interpolated"] = int(absent[kept].sum())
        values = values.copy()
        for column, steps in zip(values.T, there, strict=True):
            if len(steps):
                column[:] = np.interp(np.arange(len(column)), steps, column[steps])
    elif absent.any():
        treated["rows with missing values dropped"] = int(absent.any(1).sum())
        kept = kept[~absent.any(1)]
    return values[kept], kept


class _Table:
    """A file's columns, each cell's line known.

    Args:
        content, name, kind: see ``read_steps``.
    """

    def __init__(self, content: bytes, name: str, kind: str) -> None:
        import polars as pl

        self.name, self.row = name, "row" if kind == "parquet" else "line"
        separator, file = SEPARATORS.get(kind), io.BytesIO(content)
        try:
            if separator is not None:
                # As text, so that a cell that is no number can be shown with its line.
                frame = pl.read_csv(file, separator=separator, infer_schema=False)
            elif kind == "jsonl":
                frame = pl.read_ndjson(file, infer_schema_length=None)
            else:
                frame = pl.read_parquet(file)
        except pl.exceptions.PolarsError as error:
            reason = separator and _fault(content, separator)
            reason = reason or f": {str(error).splitlines()[0]}"
            raise DataError(f"{name}{reason}") from error
        self.lines = np.arange(len(frame)) + (1 if separator is None else 2)
        if separator is not None and len(frame):
            # A blank line is a row of nothing.
            there = ~frame.select(pl.all_horizontal(pl.all().is_null())).to_series().to_numpy()
            frame, self.lines = frame.filter(there), self.lines[there]
        if not len(frame):
            raise DataError(f"{name}: no rows in it")
        self.columns: Mapping[str, Sequence[Any]] = {
            column: frame[column].to_list() for column in frame.columns
        }

    def __len__(self) -> int:
        return len(self.lines)

    def times(self, column: str) -> list[str]:
        """The time stamps of a column, as they are written."""
        times = [_text(value) for value in self._column(column, "dataset.time")]
        before: Any = None
        for place, text in enumerate(times):
            time = parse_time(text)
            if time is None or (isinstance(time, float) and not math.isfinite(time)):
                raise DataError(
                    f"{self._where(place)}: the time {text!r} is neither a number nor a date such "
                    "as 1958-03-29 or 1958-03"
                )
            if before is not None and isinstance(time, datetime) != isinstance(before, datetime):
                raise DataError(
                    f"{self._where(place)}: the time {text!r} is written otherwise than those "
                    f"before it, such as {times[place - 1]!r}"
                )
            if before is not None and not time > before:
                how = "there already" if time == before else "out of order"
                raise DataError(
                    f"{self._where(place)}: the time {text!r} is {how}, after "
                    f"{times[place - 1]!r}; a series has one row a step, in order of time"
                )
            before = time
        return times

    def numeric(self, time: str | None) -> tuple[list[str], list[str]]:
        """The columns that hold numbers, and those that hold none."""
        numeric: list[str] = []
        without: list[str] = []
        for column, values in self.columns.items():
            if column == time:
                continue
            there = [value for value in values if not _is_absent(value)]
            if any(_number(value) is not None for value in there):
                numeric.append(column)
            elif time is None and there and all(parse_time(_text(value)) for value in there):
                raise DataError(
                    f"{self.name}: the column {column} holds time stamps; name it by "
                    f"dataset.time={column}, or name the columns to read by dataset.variables"
                )
            else:
                without.append(column)
        if not numeric:
            raise DataError(
                f"{self.name}: no column holds numbers (its columns: {', '.join(self.columns)})"
            )
        return numeric, without

    def numbers(self, column: str, key: str) -> Values:
        """A column's values; NaN where there is none."""
        values = np.empty(len(self))
        for place, value in enumerate(self._column(column, key)):
            number = math.nan if _is_absent(value) else _number(value)
            if number is None or math.isinf(number):
                what = "no number" if number is None else "infinite"
                raise DataError(f"{self._where(place)}: {column} is {_text(value)!r}, {what}")
            values[place] = number
        return values

    def refuse_missing(self, values: Values, variables: Sequence[str]) -> None:
        """Refuse values that are not there."""
        absent = np.argwhere(np.isnan(values))
        if len(absent):
            place, variable = absent[0]
            raise DataError(
                f"{self._where(place)}: {variables[variable]} has no value ({len(absent):,} "
                f"missing {'value' if len(absent) == 1 else 'values'} in all); choose "
                "dataset.missing=interpolate or dataset.missing=drop"
            )

    def _column(self, column: str, key: str) -> Sequence[Any]:
        if column not in self.columns:
            raise DataError(
                f"{key}={column}: {self.name} has no such column"
                f"{_nearest(column, list(self.columns))} (it has: {', '.join(self.columns)})"
            )
        return self.columns[column]

    def _where(self, place: int) -> str:
        return f"{self.name}, {self.row} {self.lines[place]}"


def _fault(content: bytes, separator: str) -> str | None:
    """What is wrong with a table, and in which line; None where that is not known."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return f", line {line}: not UTF-8; save the file in that encoding"
    rows = csv.reader(text.splitlines(keepends=True), delimiter=separator)
    header = next(rows, [])
    for row in rows:
        if len(row) > len(header):
            return f", line {rows.line_num}: {len(row)} fields, and the header has {len(header)}"
    return None


def _nearest(name: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else ""


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _is_absent(value: Any) -> bool:
    return _text(value).lower() in ABSENT


def _number(value: Any) -> float | None:
    """A cell as a number; None where it is none."""
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except (ValueError, OverflowError):
            return None
    return None


def _gaps(times: Sequence[str]) -> int:
    """How many steps are longer than the usual one: rows are missing there."""
    numbers = np.array([time_as_number(time) for time in times], dtype=np.float64)
    steps = np.diff(numbers)
    return int((steps > GAP * np.median(steps)).sum()) if len(steps) else 0
