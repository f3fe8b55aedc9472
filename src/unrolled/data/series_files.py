"""A person's own series: a table with a row a step and a column a variable."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from unrolled.data.files import existing_file, read_bytes
from unrolled.data.series import Series, parse_time, time_as_number
from unrolled.errors import DataError

if TYPE_CHECKING:
    from unrolled.data.table_files import TableFile

Missing = Literal["refuse", "drop", "interpolate"]
Values = npt.NDArray[np.float64]

# How a value that is not there is written, in small letters.
ABSENT = ("", "na", "n/a", "nan", "null", "none", "?", "-")
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
    """A table, as ``unrolled.data.tables`` reads them; .txt is TSV, too.

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
    file = existing_file(path, "dataset.path")
    # Polars takes a while to import, and is not needed to refuse a mistake.
    from unrolled.data.table_files import nearest

    ending = series_ending(file)
    steps = read_steps(read_bytes(file), str(file), ending, time, variables, missing)
    for target in targets or ():
        if target not in steps.variables:
            raise DataError(
                f"dataset.targets={target}: no variable of it{nearest(target, steps.variables)} "
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


def series_ending(path: Path) -> str:
    """As ``table_ending``, and .txt is TSV."""
    from unrolled.data.table_files import table_ending

    text = path.name.removesuffix(".gz").lower().endswith(".txt")
    return ".tsv" if text else table_ending(path)


def read_steps(
    content: bytes,
    name: str,
    ending: str,
    time: str | None,
    variables: Sequence[str] | None,
    missing: Missing,
) -> Steps:
    """The steps of a table.

    Args:
        content, name, ending: see ``parse_table``.
        time, variables, missing: see ``load_series``.

    Raises:
        DataError: as ``load_series``.
    """
    from unrolled.data.table_files import parse_table

    table = _Table(parse_table(content, name, ending))
    times = [str(step + 1) for step in range(len(table.rows))]
    treated = {"empty rows left out": table.blank} if table.blank else {}
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
    """A table's columns, each cell's place known."""

    def __init__(self, table: "TableFile") -> None:
        from unrolled.data.table_files import SEPARATORS

        self.file, frame = table, table.frame.with_row_index("\0")
        # In other formats a row of nothing is a step without values.
        blank = table.empty_rows() & (table.ending in SEPARATORS)
        self.blank = int(blank.sum())
        frame = frame.filter(~blank)
        if not len(frame):
            raise DataError(f"{table.name}: no rows in it")
        self.rows: list[int] = frame["\0"].to_list()
        self.columns: Mapping[str, Sequence[Any]] = {
            column: frame[column].to_list() for column in table.frame.columns
        }

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
                    f"{self.file.name}: the column {column} holds time stamps; name it by "
                    f"dataset.time={column}, or name the columns to read by dataset.variables"
                )
            else:
                without.append(column)
        if not numeric:
            raise DataError(
                f"{self.file.name}: no column holds numbers (it has: {', '.join(self.columns)})"
            )
        return numeric, without

    def numbers(self, column: str, key: str) -> Values:
        """A column's values; NaN where there is none."""
        values = np.empty(len(self.rows))
        for place, value in enumerate(self._column(column, key)):
            number = math.nan if _is_absent(value) else _number(value)
            if number is None or math.isinf(number):
                what = "no number" if number is None else "infinite"
                raise DataError(
                    f"{self._where(place)}: {column} is {_text(value)!r}, {what}; mend it, or "
                    "leave it empty and choose dataset.missing=interpolate or dataset.missing=drop"
                )
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
        self.file.require_column(column, key)
        return self.columns[column]

    def _where(self, place: int) -> str:
        return self.file.place(self.rows[place])


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
