"""Text data sets of the Hugging Face hub, through the ``datasets`` library."""

from typing import Any

from unrolled.data.corpus import SPLITS, Corpus
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
    try:
        import datasets
    except ModuleNotFoundError as error:
        raise DataError(
            "dataset=hub needs the library datasets: pip install 'unrolled[hub]'"
        ) from error
    wanted = dict(zip(SPLITS, (train_split, validation_split, test_split), strict=True))
    texts = {}
    for split, selection in wanted.items():
        try:
            rows: Any = datasets.load_dataset(
                path, subset, split=selection, data_files=data_files, revision=revision
            )
        # What the library raises for an unknown data set or split, missing files and a hub that
        # does not answer, and its own errors, for files that cannot be parsed.
        except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
            wrapper = isinstance(error, datasets.exceptions.DatasetGenerationError)
            reason = _first_line((error.__cause__ if wrapper else None) or error)
            raise DataError(
                f"dataset.path={path}, {split} split {selection!r}: cannot be loaded ({reason})"
            ) from error
        if column not in rows.column_names:
            raise DataError(
                f"dataset.column={column}: {path} has the columns {', '.join(rows.column_names)}"
            )
        kind = getattr(rows.features[column], "dtype", "no single value")
        if kind not in TEXT:
            raise DataError(
                f"dataset.column={column}: holds {kind}, not text; {path} has the columns "
                f"{', '.join(rows.column_names)}"
            )
        texts[split] = separator.join(value for value in rows[column] if value is not None)
    return Corpus(name, **texts)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
