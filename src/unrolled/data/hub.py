"""Text data sets of the Hugging Face hub, through the ``datasets`` library."""

from typing import Any

from unrolled.data.corpus import SPLITS, Corpus
from unrolled.errors import DataError


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
    """The column ``column`` of three splits, ``separator`` between two rows.

    Raises:
        DataError: the extra is not installed, the data set or a split cannot be loaded, or it has
            no such column.
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
        # The library raises these, and its own errors derive from them, for an unknown data set or
        # split, files that are missing and a hub that does not answer.
        except (OSError, ValueError, RuntimeError) as error:
            reason = (
                str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            )
            raise DataError(
                f"dataset.path={path}, {split} split {selection!r}: cannot be loaded ({reason})"
            ) from error
        if column not in rows.column_names:
            raise DataError(
                f"dataset.column={column}: {path} has the columns {', '.join(rows.column_names)}"
            )
        texts[split] = separator.join(str(value) for value in rows[column])
    return Corpus(name, **texts)
