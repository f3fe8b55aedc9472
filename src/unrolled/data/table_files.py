"""Files of tables as Polars data frames, and the line on which a row of one stands."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from unrolled.data.files import read_bytes, read_text
from unrolled.errors import DataError

SEPARATORS = {".csv": ",", ".tsv": "\t"}
JSON_LINES = (".jsonl", ".ndjson")
ENDINGS = (*SEPARATORS, *JSON_LINES, ".parquet")


@dataclass(frozen=True)
class TableFile:
    """A table with all of its columns.

    Attributes:
        frame: the columns; those of CSV and TSV are text, those of other formats as they are.
        text: what was read; None for Parquet, which has no lines.
        quote: what encloses fields; None: nothing does.
    """

    path: Path
    frame: pl.DataFrame
    text: str | None
    quote: str | None

    def place(self, row: int) -> str:
        """Where a row stands; the first one is 0."""
        if self.text is None:
            return f"{self.path}, row {row + 1}"
        suffix = _ending(self.path)
        if suffix in JSON_LINES:
            lines = [n for n, line in enumerate(self.text.split("\n"), 1) if line.strip()]
            return f"{self.path}, line {lines[row]}"
        records = _records(self.text, SEPARATORS[suffix], self.quote)
        # The header is the first one.
        line = next(line for place, (line, _) in enumerate(records) if place == row + 1)
        return f"{self.path}, line {line}"


def read_table(path: Path, encoding: str, quote: str | None) -> TableFile:
    """Read a file in the format that its name ends with.

    Args:
        quote: what encloses fields of CSV and TSV; None: nothing does.

    Raises:
        DataError: it is in none of the formats, or damaged.
    """
    suffix = _ending(path)
    if suffix not in ENDINGS:
        raise DataError(
            f"{path}: a table's name ends in {', '.join(ENDINGS)}, or one of these and .gz"
        )
    if suffix == ".parquet":
        try:
            return TableFile(path, pl.read_parquet(read_bytes(path)), None, None)
        except pl.exceptions.PolarsError as error:
            raise DataError(f"{path}: cannot be read as Parquet ({_reason(error)})") from error
    text = read_text(path, encoding)
    content = text.encode("utf-8", "surrogatepass")
    try:
        if suffix in JSON_LINES:
            frame = pl.read_ndjson(content, infer_schema_length=None)
        else:
            frame = pl.read_csv(
                content, separator=SEPARATORS[suffix], quote_char=quote, infer_schema=False
            )
    except pl.exceptions.PolarsError as error:
        fault = _json_fault(text) if suffix in JSON_LINES else _csv_fault(text, suffix, quote)
        place, _, what = fault.partition(": ")
        raise DataError(
            f"{path}{place and ', ' + place}: cannot be read as {suffix} "
            f"({what or _reason(error)})"
        ) from error
    twice = [name for name in frame.columns if "_duplicated_" in name]
    if twice:
        raise DataError(
            f"{path}, line 1: the column {twice[0].partition('_duplicated_')[0]} is there twice"
        )
    return TableFile(path, frame, text, quote)


def _ending(path: Path) -> str:
    return Path(path.name.removesuffix(".gz")).suffix.lower()


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


def _csv_fault(text: str, suffix: str, quote: str | None) -> str:
    """What is wrong with a CSV file, after its line; empty where Python's reader sees nothing."""
    line, width = 1, None
    try:
        for line, fields in _records(text, SEPARATORS[suffix], quote):
            width = width or len(fields)
            if len(fields) > width:
                return f"line {line}: {len(fields)} fields, and the header has {width}"
    except csv.Error:
        return (
            f"after line {line}: a quote that is not closed, or in the middle of a field; where "
            "quotes are part of the text, say dataset.quote=null"
        )
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
