"""Labelled sequences from a table: CSV, TSV, JSON lines or Parquet, with named columns."""

from dataclasses import dataclass

from unrolled.data.files import existing_file
from unrolled.data.gathering import Missing
from unrolled.data.labeled import LabeledSequences
from unrolled.data.splits import Split
from unrolled.errors import ConfigError


@dataclass(frozen=True)
class Columns:
    """Which column of a table is what; see ``load``."""

    text: str | None
    features: tuple[str, ...]
    label: str | None
    targets: tuple[str, ...]
    sequence: str | None
    group: str | None
    time: str | None


def load(
    name: str,
    path: str,
    validation_path: str | None = None,
    test_path: str | None = None,
    text: str | None = None,
    features: list[str] | str | None = None,
    label: str | None = None,
    targets: list[str] | str | None = None,
    sequence: str | None = None,
    group: str | None = None,
    time: str | None = None,
    encoding: str = "utf-8",
    quote: str | None = '"',
    missing: Missing = "refuse",
    split: Split = Split(),
) -> LabeledSequences:
    """The rows of one table, or of one for each split. Its format is told by its name's ending:
    .csv, .tsv, .jsonl or .ndjson, .parquet, each with or without .gz.

    Each row is an example: a text, or a sequence of one number a step, the columns ``features``
    in the table's order. With ``sequence``, each row is a step of several numbers: the rows with
    one value in that column are one sequence, in the order of ``time``, or of the file.

    Args:
        validation_path, test_path: tables of these splits' own, with the same columns.
        text: the column of texts; None and no ``features``: ``text``.
        features: columns of numbers; ``*`` in a name stands for anything, and matches no column
            that is something else already.
        label: the column of classes; None and no ``targets``: ``label``.
        targets: columns of numbers to be predicted.
        sequence: the column that says to which sequence a row belongs.
        group: the column of what must stay in one split, such as a document or a person.
        time: the column of numbers or ISO 8601 dates that examples are ordered by, and the steps
            of a sequence.
        quote: what encloses fields of CSV and TSV; None: quotes are part of the text.
        missing: whether a row that lacks a value is refused, or left out and counted.

    Raises:
        ConfigError: columns that exclude or need one another.
        DataError: a file cannot be read, has no such column, or a value that cannot be used; the
            message has the line.
    """
    if text is not None and features is not None:
        raise ConfigError("dataset.text and dataset.features: an example is one or the other")
    if label is not None and targets is not None:
        raise ConfigError("dataset.label and dataset.targets: a class or values, one of the two")
    if sequence is not None and features is None:
        raise ConfigError("dataset.sequence joins rows of numbers; name dataset.features, too")
    if quote is not None and (len(quote) != 1 or not quote.isascii()):
        raise ConfigError(f"dataset.quote={quote}: must be one character, or null")
    columns = Columns(
        "text" if text is None and features is None else text,
        _names(features, "features"),
        "label" if label is None and targets is None else label,
        _names(targets, "targets"),
        sequence,
        group,
        time,
    )
    paths = {"train": path, "validation": validation_path, "test": test_path}
    files = {
        which: existing_file(one, "dataset.path" if which == "train" else f"dataset.{which}_path")
        for which, one in paths.items()
        if one is not None
    }
    # Polars takes a while to import, and is not needed to refuse a mistake.
    from unrolled.data.table_examples import read_examples

    return read_examples(name, files, columns, encoding, quote, missing, split)


def _names(given: list[str] | str | None, key: str) -> tuple[str, ...]:
    names = (given,) if isinstance(given, str) else tuple(given or ())
    if given is not None and not names:
        raise ConfigError(f"dataset.{key} is empty; name at least one column")
    if len(set(names)) < len(names):
        raise ConfigError(f"dataset.{key}={[*names]}: a column is named twice")
    return names
