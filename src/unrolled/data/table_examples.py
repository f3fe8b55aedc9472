"""From the rows of tables to labelled sequences: every value checked, all rows at once."""

import fnmatch
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from unrolled.data.gathering import Missing
from unrolled.data.labeled import LabeledSequences
from unrolled.data.sequences import Sequences
from unrolled.data.splits import Split
from unrolled.data.table_files import TableFile, read_table, shown
from unrolled.data.tables import Columns
from unrolled.errors import DataError

WORDS = ("text", "label", "sequence", "group")


@dataclass(frozen=True)
class _Part:
    """The examples of one file; ``numbers`` of features ``[time, features]`` each."""

    texts: list[str]
    numbers: Sequences | None
    labels: list[str]
    values: npt.NDArray[np.float64]
    groups: list[str]


def read_examples(
    name: str,
    files: Mapping[str, Path],
    columns: Columns,
    encoding: str,
    quote: str | None,
    missing: Missing,
    split: Split,
) -> LabeledSequences:
    """As ``unrolled.data.tables.load``.

    Args:
        files: for each split that has one its table, training first.
    """
    treated: Counter[str] = Counter()
    parts: dict[str, _Part] = {}
    for which, path in files.items():
        table = read_table(path, encoding, quote)
        columns = _resolved(columns, table)
        parts[which] = _Rows(table, columns, missing, treated).part()
    every = list(parts.values())
    inputs: Sequence[str] | Sequences = [text for part in every for text in part.texts]
    numbers = [part.numbers for part in every if part.numbers is not None]
    names: Sequence[str] = ()
    if numbers:
        inputs = Sequences.joined(numbers)
        names = columns.features if columns.sequence is not None else ["value"]
        # Of the training table, as the scaler sees it.
        shown = numbers[0].steps
        if columns.sequence is None and len(shown):
            shown = shown.reshape(-1, len(columns.features))
        constant = int((shown == shown[:1]).all(axis=0).sum()) if len(shown) > 1 else 0
        treated["constant features"] += constant
    ends = np.cumsum([0, *(max(len(p.labels), len(p.values)) for p in every)])
    given = {which: np.arange(ends[i], ends[i + 1]) for i, which in enumerate(parts)}
    return LabeledSequences(
        name,
        inputs,
        np.concatenate([part.values for part in every])
        if columns.targets
        else [label for part in every for label in part.labels],
        given=given if len(given) > 1 else {},
        groups=None if columns.group is None else [g for part in every for g in part.groups],
        split=split,
        feature_names=names,
        target_names=columns.targets,
        treated={what: count for what, count in treated.items() if count},
    )


def _resolved(columns: Columns, table: TableFile) -> Columns:
    """The columns with every pattern replaced by the names it matches.

    Raises:
        DataError: there is no such column; the message names the nearest.
    """
    there = table.frame.columns
    single = {key: getattr(columns, key) for key in ("text", "label", "sequence", "group", "time")}
    taken = {*single.values(), *columns.targets}
    for key, column in single.items():
        if column is not None:
            table.require_column(column, f"dataset.{key}")
    for column in columns.targets:
        table.require_column(column, "dataset.targets")
    features: list[str] = []
    for wanted in columns.features:
        found = [wanted]
        if "*" in wanted and wanted not in there:
            free = [column for column in there if column not in taken]
            found = [column for column in free if fnmatch.fnmatchcase(column, wanted)]
            if not found:
                raise DataError(
                    f"dataset.features={wanted}: {table.name} has no such columns "
                    f"(it has: {shown(there)})"
                )
        else:
            table.require_column(wanted, "dataset.features")
        features += [column for column in found if column not in features]
    return replace(columns, features=tuple(features))


class _Rows:
    """The rows of one table on their way to examples; what is dropped is counted.

    ``rows`` has the columns under the names of what they are (``label``, ``feature x``), and the
    number of each row in the file as ``row``.
    """

    def __init__(
        self, table: TableFile, columns: Columns, missing: Missing, treated: Counter[str]
    ) -> None:
        self.table, self.columns = table, columns
        self.missing, self.treated = missing, treated
        self.sources = {
            key: column
            for key in (*WORDS, "time")
            if (column := getattr(columns, key)) is not None
        }
        self.features = [f"feature {column}" for column in columns.features]
        self.targets = [f"target {column}" for column in columns.targets]
        self.sources |= dict(zip(self.features, columns.features, strict=True))
        self.sources |= dict(zip(self.targets, columns.targets, strict=True))
        frame, empty = table.frame.with_row_index("\0"), table.empty_rows()
        treated["empty rows left out"] += int(empty.sum())
        chosen = [pl.col(column).alias(key) for key, column in self.sources.items()]
        self.rows = frame.filter(~empty).select(pl.col("\0").alias("row"), *chosen)

    def part(self) -> _Part:
        """The examples, in order of time if there is a column of it."""
        for key in WORDS:
            if key in self.sources:
                self._read_words(key)
        sequences = self.rows["sequence"].n_unique() if "sequence" in self.sources else 0
        for key in self.features:
            self._read_numbers(key, pl.Float32)
        for key in self.targets:
            self._read_numbers(key, pl.Float64)
        if "time" in self.sources:
            self._read_times()
        if "sequence" in self.sources:
            self.treated["sequences without a row left dropped"] += (
                sequences - self.rows["sequence"].n_unique()
            )
            return self._joined()
        if "time" in self.sources:
            time = self.rows["time"]
            self._count_unordered(time < time.shift(1))
            self.rows = self.rows.sort("time", maintain_order=True)
        if not self.features:
            return self._part(self.rows, None)
        steps = self.rows.select(self.features).to_numpy()
        return self._part(self.rows, Sequences.of_equal(steps[:, :, None]))

    def _part(self, rows: pl.DataFrame, numbers: Sequences | None) -> _Part:
        """The examples, of which ``rows`` has one row each."""
        words = {
            key: rows[key].to_list() if key in self.sources else []
            for key in ("text", "label", "group")
        }
        values = rows.select(self.targets).to_numpy() if self.targets else np.empty((0, 0))
        return _Part(words["text"], numbers, words["label"], values, words["group"])

    def _joined(self) -> _Part:
        """Sequences of the rows that have one value in the column ``sequence``."""
        numbers = self.rows.select(pl.col("sequence").unique(maintain_order=True))
        rows = self.rows.join(
            numbers.with_row_index("number"), on="sequence", maintain_order="left"
        )
        if "time" in self.sources:
            self._count_unordered(
                rows.select(pl.col("time") < pl.col("time").shift(1).over("number")).to_series()
            )
            rows = rows.sort("number", "time", maintain_order=True)
            self._require_one_time(rows)
        else:
            rows = rows.sort("number", maintain_order=True)
        for key in ("label", "group", *self.targets):
            if key in self.sources:
                self._require_one_value(rows, key)
        first = rows["number"] != rows["number"].shift(1)
        starts = np.flatnonzero(first.fill_null(True).to_numpy())
        sequences = Sequences(
            rows.select(self.features).to_numpy(), np.append(starts, len(rows)).astype(np.int64)
        )
        heads = rows[starts]
        if "time" in self.sources:
            # The examples, too, are in order of time.
            heads = heads.with_row_index("place").sort("time", maintain_order=True)
            sequences = sequences.take(heads["place"].to_numpy())
        return self._part(heads, sequences)

    def _read_words(self, key: str) -> None:
        """Make a column text, and leave out the rows that lack it."""
        kind = self.rows[key].dtype
        if kind.is_nested() or kind in (pl.Binary, pl.Object):
            raise DataError(
                f"dataset.{key}={self.sources[key]}: holds {kind}, not single values "
                f"({self.table.name})"
            )
        words = self.rows[key].cast(pl.String)
        if key != "text":
            # The whole numbers of a column that has had gaps are 1.0 and the like.
            words = words.str.strip_chars()
            if (words.is_null() | words.str.contains(r"^[+-]?\d*(\.0*)?$")).all():
                words = words.str.replace(r"\.0*$", "")
        self.rows = self.rows.with_columns(words.alias(key))
        self._leave_out(key, words.is_null() | (words.str.strip_chars() == ""), f"no {key}")

    def _read_numbers(self, key: str, kind: type[pl.DataType]) -> None:
        """Make a column finite numbers, and leave out the rows that lack them."""
        column = self.rows[key]
        if column.dtype == pl.String:
            column = column.str.strip_chars().replace("", None)
        elif not (column.dtype.is_numeric() or column.dtype in (pl.Boolean, pl.Null)):
            raise DataError(
                f"{self.table.name}: the column {self.sources[key]} holds {column.dtype}, and "
                "numbers are needed"
            )
        numbers = column.cast(kind, strict=False)
        self._require(key, numbers.is_not_null() | column.is_null(), "no number")
        self.rows = self.rows.with_columns(numbers.alias(key))
        what = key.partition(" ")[0]
        self._leave_out(key, numbers.is_null(), f"no {what}")
        self._leave_out(key, ~self.rows[key].is_finite(), f"infinite or undefined {what}")

    def _read_times(self) -> None:
        """Make the times comparable, and leave out the rows that lack one."""
        column = self.rows["time"]
        if column.dtype == pl.String:
            column = column.str.strip_chars().replace("", None)
            numbers = column.cast(pl.Float64, strict=False)
            if (numbers.is_not_null() | column.is_null()).all():
                times = numbers
            else:
                # In months and days alike: what comes first in 03/04/2020 is anybody's guess.
                self._require(
                    "time",
                    column.str.contains(r"^\d{4}-\d\d").fill_null(True),
                    "neither a number nor a date such as 2020-03-04 or 2020-03-04T10:00",
                )
                dates = column.str.replace(r"^(\d{4}-\d\d)$", "$1-01")
                try:
                    times = dates.str.to_datetime(strict=False)
                except pl.exceptions.ComputeError:
                    times = pl.Series([None] * len(dates), dtype=pl.Datetime)
                self._require("time", times.is_not_null() | column.is_null(), "no such date")
        elif column.dtype.is_numeric() or column.dtype.is_temporal():
            times = column
        else:
            raise DataError(
                f"dataset.time={self.sources['time']}: holds {column.dtype}, and numbers or dates "
                f"are needed ({self.table.name})"
            )
        self.rows = self.rows.with_columns(times.alias("time"))
        self._leave_out("time", times.is_null(), "no time")

    def _leave_out(self, key: str, bad: pl.Series, what: str) -> None:
        """Refuse the rows that are bad, or drop and count them."""
        if not bad.any():
            return
        if self.missing == "refuse":
            raise DataError(
                f"{self._place(self.rows, bad)}: {what} in the column {self.sources[key]}; mend "
                "it, or leave such rows out with dataset.missing=drop"
            )
        self.treated[f"rows with {what} dropped"] += int(bad.sum())
        self.rows = self.rows.filter(~bad)

    def _require(self, key: str, good: pl.Series, what: str) -> None:
        """Refuse values that are something else than they should be, whatever is missing."""
        if good.all():
            return
        column = self.sources[key]
        value = self.table.frame[column][self._number(self.rows, ~good)]
        raise DataError(
            f"{self._place(self.rows, ~good)}: {value!r} in the column {column} is {what}"
        )

    def _require_one_time(self, rows: pl.DataFrame) -> None:
        same = rows["time"] == rows["time"].shift(1)
        again = same & (rows["number"] == rows["number"].shift(1))
        if again.any():
            earlier = self._place(rows, again.shift(-1, fill_value=False))
            raise DataError(
                f"{self._place(rows, again)}: the sequence has this time already ({earlier}); a "
                "step has a time of its own"
            )

    def _require_one_value(self, rows: pl.DataFrame, key: str) -> None:
        other = rows.select(pl.col(key) != pl.col(key).first().over("number")).to_series()
        if other.any():
            raise DataError(
                f"{self._place(rows, other)}: the column {self.sources[key]} has another value "
                "than in the row before of this sequence; a sequence has one"
            )

    def _count_unordered(self, earlier: pl.Series) -> None:
        self.treated["rows out of order of time, sorted"] += int(earlier.sum())

    def _place(self, rows: pl.DataFrame, chosen: pl.Series) -> str:
        """Where the first of the chosen rows stands."""
        return self.table.place(self._number(rows, chosen))

    def _number(self, rows: pl.DataFrame, chosen: pl.Series) -> int:
        return int(rows.filter(chosen.fill_null(False))["row"][0])
