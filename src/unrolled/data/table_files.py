"""Files of tables as Polars data frames, and the line on which a row of one stands."""

import csv
import difflib
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from unrolled.data.files import decoded, read_bytes
from unrolled.errors import DataError

SEPARATORS = {".csv": ",", ".tsv": "\t"}
JSON_LINES = (".jsonl", ".ndjson")
ENDINGS = (*SEPARATORS, *JSON_LINES, ".parquet")
# Where a column is not found, so many of those that there are are named.
SHOWN = 12


@dataclass(frozen=True)
class TableFile:
    """A table with all of its columns.

    Attributes:
        name: what messages call it.
        ending: the format, one of ``ENDINGS``.
        frame: the columns; those of CSV and TSV are text, those of other formats as they are.
        text: what was read; None for Parquet, which has no lines.
        quote: what encloses fields; None: nothing does.
    """

    name: str
    ending: str
    frame: pl.DataFrame
    text: str | None
    quote: str | None

    def place(self, row: int) -> str:
        """Where a row stands; the first one is 0."""
        if self.text is None:
            return f"{self.name}, row {row + 1}"
        if self.ending in JSON_LINES:
            lines = [n for n, line in enumerate(self.text.split("\n"), 1) if line.strip()]
            return f"{self.name}, line {lines[row]}"
        records = _records(self.text, SEPARATORS[self.ending], self.quote)
        # The header is the first one.
        line = next(line for place, (line, _) in enumerate(records) if place == row + 1)
        return f"{self.name}, line {line}"

    def empty_rows(self) -> pl.Series:
        """Which rows have no value at all, such as those of blank lines."""
        return self.frame.select(pl.all_horizontal(pl.all().is_null())).to_series()

    def require_column(self, column: str, key: str) -> None:
        """Refuse a column that is not there, in a sentence that names the nearest.

        Args:
            key: what named it, such as ``dataset.label``.
        """
        there = self.frame.columns
        if column not in there:
            raise DataError(
                f"{key}={column}: {self.name} has no such column{nearest(column, there)} "
                f"(it has: {shown(there)})"
            )


def read_table(path: Path, encoding: str | None = None, quote: str | None = '"') -> TableFile:
    """Read a file in the format that its name ends with; for the rest see ``parse_table``."""
    ending = table_ending(path)
    return parse_table(read_bytes(path), str(path), ending, encoding, quote)


def parse_table(
    content: bytes,
    name: str,
    ending: str,
    encoding: str | None = None,
    quote: str | None = '"',
) -> TableFile:
    """A table of the bytes of a file.

    Args:
        name: of the content, for messages.
        ending: that a file of this format has, one of ``ENDINGS``.
        encoding: None: UTF-8, and no option could name another, nor other quotes.
        quote: what encloses fields of CSV and TSV; None: nothing does.

    Raises:
        DataError: it is damaged.
    """
    if ending == ".parquet":
        try:
            return TableFile(name, ending, pl.read_parquet(content), None, None)
        except pl.exceptions.PolarsError as error:
            raise DataError(f"{name}: cannot be read as Parquet ({_reason(error)})") from error
    text = decoded(content, name, encoding)
    content = text.encode("utf-8", "surrogatepass")
    try:
        if ending in JSON_LINES:
            frame = pl.read_ndjson(content, infer_schema_length=None)
        else:
            frame = pl.read_csv(
                content, separator=SEPARATORS[ending], quote_char=quote, infer_schema=False
            )
    except pl.exceptions.PolarsError as error:
        if ending in JSON_LINES:
            fault = _json_fault(text)
        else:
            fault = _csv_fault(
                text, SEPARATORS[ending], quote, "dataset.quote" if encoding else ""
            )
        place, _, what = fault.partition(": ")
        raise DataError(
            f"{name}{place and ', ' + place}: cannot be read as {ending} "
            f"({what or _reason(error)})"
        ) from error
    twice = [column for column in frame.columns if "_duplicated_" in column]
    if twice:
        raise DataError(
            f"{name}, line 1: the column {twice[0].partition('_duplicated_')[0]} is there twice"
        )
    return TableFile(name, ending, frame, text, quote)


def table_ending(path: Path) -> str:
    """The format of a file, by its name.

    Raises:
        DataError: it is none of a table.
    """
    ending = Path(path.name.removesuffix(".gz")).suffix.lower()
    if ending not in ENDINGS:
        raise DataError(
            f"{path}: a table's name ends in {', '.join(ENDINGS)}, or one of these and .gz"
        )
    return ending


def nearest(name: str, names: Sequence[str]) -> str:
    """A hint at the nearest name, the end of a sentence; empty where none is near."""
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else ""


def shown(names: Sequence[str]) -> str:
    """Names in a row, the first ones of many."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _reason(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


def _records(text: str, separator: str, quote: str | None) -> Iterator[tuple[int, list[str]]]:
    """The lines on which the records of a CSV file begin, and their fields, the header first."""
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=separator,
        quotechar=quote or '"',
        quoting=csv.QUOTE_NONE if quote is None else csv.QUOTE_MINIMAL,
        strict=True,
    )
    begin, started = 1, False
    for fields in reader:
        # Empty lines before the header are none.
        started = started or bool(fields)
        if started:
            yield begin, fields
        begin = reader.line_num + 1


def _csv_fault(text: str, separator: str, quote: str | None, key: str) -> str:
    """What is wrong with a CSV file, after its line; empty where Python's reader sees nothing.

    Args:
        key: of the option for other quotes; empty: there is none.
    """
    line, width = 1, None
    try:
        for line, fields in _records(text, separator, quote):
            width = width or len(fields)
            if len(fields) > width:
                return f"line {line}: {len(fields)} fields, and the header has {width}"
    except csv.Error:
        way_out = key and f"; where quotes are part of the text, say {key}=null"
        return f"after line {line}: a quote that is not closed, or inside a field{way_out}"
    return ""


def _json_fault(text: str) -> str:
    """What is wrong with JSON lines, after its line; empty where Python sees nothing."""
    kinds: dict[str, type] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            values: Any = json.loads(line, parse_constant=_refuse)
        except ValueError as error:
            return f"line {number}: {error}"
        if not isinstance(values, dict):
            return f"line {number}: a {type(values).__name__}, and each line holds an object"
        for name, value in values.items():
            if value is None:
                continue
            kind = float if type(value) is int else type(value)
            if kinds.setdefault(name, kind) is not kind:
                return (
                    f"line {number}: {name} is of another type than before, "
                    f"{kind.__name__} and not {kinds[name].__name__}"
                )
    return ""


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no JSON; null stands for what is missing")
