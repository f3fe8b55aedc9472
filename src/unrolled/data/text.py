"""A person's own text: a file, a folder of files, or files that are split already."""

import re
from pathlib import Path

from unrolled.data.corpus import SPLITS, Corpus, check_fractions, split_documents
from unrolled.data.files import existing, read_text, require_file
from unrolled.data.large_text import LargeCorpus, are_large
from unrolled.errors import DataError

# What the files of a split are called, in the data sets that come split.
NAMES = {
    "train": ("train",),
    "validation": ("valid", "validation", "val", "dev"),
    "test": ("test",),
}
IGNORED_SUFFIXES = (".md", ".gz", ".zip", ".json", ".py")


def load_text(
    name: str,
    path: str,
    validation_path: str | None,
    test_path: str | None,
    validation_fraction: float,
    test_fraction: float,
    encoding: str,
) -> Corpus:
    """A file, cut at line ends into training, validation and test text, or a folder, split by
    file.

    A split with a path of its own takes nothing from ``path``. In a folder the files that end in
    .txt count, in the order of their names, a line break between two. A large text stays in its
    files, and is a ``LargeCorpus``.

    Raises:
        DataError: a file is missing, empty, binary or in another encoding, or a split gets no
            text.
    """
    fractions = {
        "validation": 0.0 if validation_path else validation_fraction,
        "test": 0.0 if test_path else test_fraction,
    }
    check_fractions(fractions["validation"], fractions["test"])
    source = existing(path, "dataset.path")
    own = {
        split: _files(existing(path, f"dataset.{split}_path"))
        for split, path in (("validation", validation_path), ("test", test_path))
        if path
    }
    files = _files(source)
    if are_large([*files, *(file for some in own.values() for file in some)]):
        return _large(name, source, own, fractions, encoding)
    if source.is_dir():
        documents = [read_text(file, encoding) for file in files]
        parts = split_documents(documents, fractions["validation"], fractions["test"])
        texts = {split: "\n".join(part) for split, part in parts.items()}
    else:
        texts = _cut(read_text(source, encoding), fractions["validation"], fractions["test"])
    for split, some in own.items():
        texts[split] = "\n".join(read_text(file, encoding) for file in some)
    return Corpus(name, **texts)


def load_splits(name: str, path: str, encoding: str) -> Corpus:
    """A folder with one file for each split, found by ``train``, ``valid`` (or ``val``, ``dev``),
    ``test``.

    Raises:
        DataError: a split has no file or several, or a file cannot be read.
    """
    folder = existing(path, "dataset.path")
    if not folder.is_dir():
        raise DataError(
            f"dataset.path={path}: a file, and dataset=splits takes a folder; "
            "dataset=text splits a file"
        )
    files = sorted(
        file
        for file in folder.iterdir()
        if file.is_file() and file.suffix not in IGNORED_SUFFIXES and file.name[0] != "."
    )
    chosen = {}
    for split in SPLITS:
        found = _named(files, NAMES[split])
        if len(found) != 1:
            what = "no file" if not found else " and ".join(f.name for f in found)
            there = ", ".join(f.name for f in files) or "nothing"
            raise DataError(
                f"dataset.path={path}: {what} for the {split} split; one file must have "
                f"{' or '.join(NAMES[split])} in its name (the folder holds {there})"
            )
        chosen[split] = found[0]
    if are_large(list(chosen.values())):
        return LargeCorpus(name, {split: [file] for split, file in chosen.items()}, encoding)
    return Corpus(name, **{split: read_text(file, encoding) for split, file in chosen.items()})


def _large(
    name: str,
    source: Path,
    own: dict[str, list[Path]],
    fractions: dict[str, float],
    encoding: str,
) -> LargeCorpus:
    """As ``load_text``, of texts that stay in their files."""
    if source.is_dir():
        parts = split_documents(_text_files(source), fractions["validation"], fractions["test"])
        return LargeCorpus(name, {**parts, **own}, encoding)
    both = (fractions["validation"], fractions["test"])
    return LargeCorpus(name, own, encoding, source, both)


def _named(files: list[Path], words: tuple[str, ...]) -> list[Path]:
    """The files with one of the words in their names; as a word of its own before a part of one,
    so that medieval.train.txt is not a validation split."""
    whole = [f for f in files if not set(words).isdisjoint(re.findall("[a-z]+", f.name.lower()))]
    return whole or [f for f in files if any(word in f.name.lower() for word in words)]


def _text_files(folder: Path) -> list[Path]:
    files = sorted(file for file in folder.glob("*.txt") if not file.is_dir())
    for file in files:
        require_file(file, file)
    if not files:
        raise DataError(f"dataset.path={folder}: no .txt file in this folder")
    return files


def _files(path: Path) -> list[Path]:
    return _text_files(path) if path.is_dir() else [path]


def _cut(text: str, validation_fraction: float, test_fraction: float) -> dict[str, str]:
    """Training text first, then validation, then test, cut at the last line end before each
    place."""
    first = _line_end(text, round(len(text) * (1 - validation_fraction - test_fraction)), 0)
    second = first
    if validation_fraction:
        second = _line_end(text, round(len(text) * (1 - test_fraction)), first)
    return {"train": text[:first], "validation": text[first:second], "test": text[second:]}


def _line_end(text: str, place: int, start: int) -> int:
    if place >= len(text):
        return len(text)
    end = text.rfind("\n", start, place) + 1
    # One line may hold everything; then there is no better place than any.
    return end if end > start else place
