"""Two files, one of negative and one of positive texts, a text a line, as Pang & Lee's sentence
polarity data."""

from pathlib import Path

from unrolled.data.files import existing_file, existing_folder, read_lines, require_file
from unrolled.data.gathering import Gathering, Missing
from unrolled.data.labeled import LabeledSequences
from unrolled.data.splits import Split
from unrolled.errors import ConfigError, DataError

CLASSES = {"negative": ".neg", "positive": ".pos"}


def load(
    name: str,
    path: str | None = None,
    negative: str | None = None,
    positive: str | None = None,
    encoding: str = "utf-8",
    missing: Missing = "refuse",
    split: Split = Split(),
) -> LabeledSequences:
    """The lines of both files, the negative ones first.

    Args:
        path: a folder with one file that ends in .neg and one that ends in .pos.
        negative, positive: the files, in place of ``path``.

    Raises:
        ConfigError: neither a folder nor both files are named.
        DataError: a file is missing or cannot be read, or a line is empty.
    """
    gathered = Gathering(missing)
    files = _files(path, {"negative": negative, "positive": positive})
    for label, file in files.items():
        for number, line in enumerate(read_lines(file, encoding), start=1):
            gathered.add(line.strip(), label, f"{file}, line {number}")
    return gathered.labeled(name, split)


def _files(path: str | None, named: dict[str, str | None]) -> dict[str, Path]:
    if path is not None and not any(named.values()):
        folder = existing_folder(path, "dataset.path")
        return {label: _ending(folder, suffix) for label, suffix in CLASSES.items()}
    if path is not None or not all(named.values()):
        raise ConfigError(
            "dataset=polarity takes dataset.path, a folder with a file that ends in .neg and one "
            "that ends in .pos, or both dataset.negative and dataset.positive"
        )
    return {label: existing_file(str(file), f"dataset.{label}") for label, file in named.items()}


def _ending(folder: Path, suffix: str) -> Path:
    found = sorted(file for file in folder.iterdir() if file.suffix == suffix)
    if len(found) != 1:
        what = " and ".join(file.name for file in found) or "no file"
        raise DataError(f"dataset.path={folder}: {what} that ends in {suffix}, and one is needed")
    require_file(found[0], found[0])
    return found[0]
