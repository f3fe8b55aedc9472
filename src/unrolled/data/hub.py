"""Data sets of the Hugging Face hub, running text or labelled texts, through the ``datasets``
library."""

from typing import Any

from unrolled.data.corpus import SPLITS, Corpus
from unrolled.data.gathering import Gathering, Missing
from unrolled.data.labeled import LabeledSequences
from unrolled.data.splits import Split
from unrolled.errors import DataError

# The library's names for a column of text.
TEXT = ("string", "large_string", "string_view")


def load(
    name: str,
    path: str,
    subset: str | None,
    column: str,
    train_split: str,
    validation_split: str,
    test_split: str,
    data_files: dict[str, str] | None,
    revision: str | None,
    separator: str,
) -> Corpus:
    """The column ``column`` of three splits, ``separator`` between two rows; a row without a
    value counts for nothing.

    Raises:
        DataError: the extra is not installed, the data set or a split cannot be loaded, or it has
            no such column or no text in it.
    """
    wanted = dict(zip(SPLITS, (train_split, validation_split, test_split), strict=True))
    texts = {}
    for split, selection in wanted.items():
        rows = _load_split(name, path, subset, split, selection, data_files, revision)
        _require_text(rows, column, "column", path)
        texts[split] = separator.join(value for value in rows[column] if value is not None)
    return Corpus(name, **texts)


def load_labeled(
    name: str,
    path: str,
    subset: str | None = None,
    text: str = "text",
    label: str = "label",
    train_split: str = "train",
    validation_split: str | None = None,
    test_split: str | None = "test",
    data_files: dict[str, str] | None = None,
    revision: str | None = None,
    missing: Missing = "refuse",
    split: Split = Split(),
) -> LabeledSequences:
    """Texts with a class each; classes that have names are called by them.

    Args:
        text, label: the columns.
        validation_split, test_split: in the library's syntax; None: made of the training split.
        missing: whether a row without a text or a class (-1 is none, too, where classes have
            names) is refused, or left out and counted.

    Raises:
        DataError: the extra is not installed, the data set or a split cannot be loaded, or it has
            no such column or no text or class in it.
    """
    wanted = dict(zip(SPLITS, (train_split, validation_split, test_split), strict=True))
    gathered = Gathering(missing)
    for which, selection in wanted.items():
        if selection is None:
            continue
        rows = _load_split(name, path, subset, which, selection, data_files, revision)
        _require_text(rows, text, "text", path)
        classes = _classes(rows, label, path)
        for number, (one, its) in enumerate(zip(rows[text], classes, strict=True), start=1):
            gathered.add(one or "", its, f"{path}, {which} split, row {number}", split=which)
    own = tuple(which for which in SPLITS[1:] if wanted[which] is not None)
    return gathered.labeled(name, split, own)


def _load_split(
    name: str,
    path: str,
    subset: str | None,
    split: str,
    selection: str,
    data_files: dict[str, str] | None,
    revision: str | None,
) -> Any:
    """The rows of one split."""
    try:
        import datasets
    except ModuleNotFoundError as error:
        raise DataError(
            f"dataset={name} needs the library datasets: pip install 'unrolled[hub]'"
        ) from error
    try:
        return datasets.load_dataset(
            path, subset, split=selection, data_files=data_files, revision=revision
        )
    # What the library raises for an unknown data set or split, missing files and a hub that does
    # not answer, and its own errors, for files that cannot be parsed.
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        wrapper = isinstance(error, datasets.exceptions.DatasetGenerationError)
        reason = _first_line((error.__cause__ if wrapper else None) or error)
        raise DataError(
            f"dataset.path={path}, {split} split {selection!r}: cannot be loaded ({reason})"
        ) from error


def _require_column(rows: Any, column: str, key: str, path: str) -> None:
    if column not in rows.column_names:
        raise DataError(
            f"dataset.{key}={column}: {path} has the columns {', '.join(rows.column_names)}"
        )


def _require_text(rows: Any, column: str, key: str, path: str) -> None:
    _require_column(rows, column, key, path)
    kind = getattr(rows.features[column], "dtype", "no single value")
    if kind not in TEXT:
        raise DataError(
            f"dataset.{key}={column}: holds {kind}, not text; {path} has the columns "
            f"{', '.join(rows.column_names)}"
        )


def _classes(rows: Any, column: str, path: str) -> list[str]:
    """The class of each row; empty where it has none."""
    _require_column(rows, column, "label", path)
    feature = rows.features[column]
    if hasattr(feature, "names"):
        return ["" if i is None or i < 0 else feature.names[i] for i in rows[column]]
    kind = getattr(feature, "dtype", "no single value")
    if kind not in (*TEXT, "bool") and not kind.startswith(("int", "uint")):
        raise DataError(
            f"dataset.label={column}: holds {kind}, and classes are words or whole numbers; "
            f"{path} has the columns {', '.join(rows.column_names)}"
        )
    return ["" if value is None else str(value) for value in rows[column]]


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
