import os
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unrolled.data.corpus import Corpus
from unrolled.data.text import load_splits, load_text
from unrolled.errors import DataError


def load(path: Path | str, **values: Any) -> Corpus:
    """``load_text`` with the defaults of the configuration."""
    defaults = {
        "validation_path": None,
        "test_path": None,
        "validation_fraction": 0.1,
        "test_fraction": 0.1,
        "encoding": "utf-8",
    }
    return load_text("text", str(path), **{**defaults, **values})


def lines(count: int) -> str:
    """Lines of different lengths, each one like no other."""
    return "".join(f"line {i} {'x' * (i * 7 % 23)}\n" for i in range(count))


@pytest.mark.parametrize(("count", "end"), [(20, ""), (57, "\n"), (400, "no line end")])
@pytest.mark.parametrize("fractions", [(0.1, 0.1), (0.3, 0.05), (0.05, 0.6)])
def test_a_file_is_cut_at_line_ends_and_nothing_is_lost(
    tmp_path: Path, count: int, end: str, fractions: tuple[float, float]
) -> None:
    path = tmp_path / "a.txt"
    path.write_text(lines(count) + end)
    corpus = load(path, validation_fraction=fractions[0], test_fraction=fractions[1])
    assert corpus.train + corpus.validation + corpus.test == lines(count) + end
    assert corpus.train.endswith("\n")
    assert corpus.validation.endswith("\n")
    longest = max(map(len, lines(count).split("\n"))) + 1
    whole = len(lines(count) + end)
    assert abs(len(corpus.test) - fractions[1] * whole) <= longest
    assert abs(len(corpus.validation) - fractions[0] * whole) <= longest


def test_a_file_of_one_line_is_cut_anywhere(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("abcdefghij" * 10)
    corpus = load(path)
    assert corpus.train + corpus.validation + corpus.test == "abcdefghij" * 10
    assert [len(corpus.split(s)) for s in ("train", "validation", "test")] == [80, 10, 10]


@pytest.mark.parametrize("own", [("validation",), ("test",), ("validation", "test")])
def test_a_split_with_a_file_of_its_own_takes_nothing_from_the_path(
    tmp_path: Path, own: tuple[str, ...]
) -> None:
    # Every length of a last line, so that the cut falls at and between line ends.
    for count in range(20, 40):
        path = tmp_path / "a.txt"
        path.write_text(lines(count))
        paths = {}
        for split in own:
            (tmp_path / f"{split}.txt").write_text(f"the {split} text\n")
            paths[f"{split}_path"] = str(tmp_path / f"{split}.txt")
        corpus = load(path, **paths)
        for split in own:
            assert corpus.split(split) == f"the {split} text\n"
        rest = [corpus.split(s) for s in ("train", "validation", "test") if s not in own]
        assert "".join(rest) == lines(count)
        assert all(text.startswith("line ") for text in rest)


def test_fractions_of_splits_with_own_files_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("one\n")
    corpus = load(path, validation_path=str(path), test_path=str(path), validation_fraction=2)
    assert corpus.train == corpus.validation == corpus.test == "one\n"


def test_a_folder_is_split_by_file(tmp_path: Path) -> None:
    folder = tmp_path / "books"
    (folder / "more.txt").mkdir(parents=True)
    for i in range(20):
        (folder / f"{i:02}.txt").write_text(f"book {i} begins\nand ends {i}")
    (folder / "notes.md").write_text("not a book")
    corpus = load(folder)
    splits = ("train", "validation", "test")
    assert [len(re.findall("begins", corpus.split(s))) for s in splits] == [16, 2, 2]
    for i in range(20):
        # Whole, and in one split only.
        assert sum(f"book {i} begins\nand ends {i}" in corpus.split(s) for s in splits) == 1
    # A file without a line end does not run into the next.
    assert not any(re.search(r"ends \d+book", corpus.split(s)) for s in splits)
    assert "not a book" not in corpus.train + corpus.validation + corpus.test
    numbers = [int(n) for n in re.findall(r"book (\d+)", corpus.train)]
    assert numbers == sorted(numbers)


def test_a_folder_as_a_split_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "held").mkdir()
    (tmp_path / "held" / "b.txt").write_text("second")
    (tmp_path / "held" / "a.txt").write_text("first")
    (tmp_path / "a.txt").write_text(lines(30))
    assert load(tmp_path / "a.txt", test_path=str(tmp_path / "held")).test == "first\nsecond"


def test_a_folder_without_texts_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.csv").write_text("a")
    with pytest.raises(DataError, match=r"dataset.path=.*folder: no .txt file"):
        load(tmp_path / "folder")


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"path": "nowhere.txt"}, "dataset.path"),
        ({"validation_path": "nowhere.txt"}, "dataset.validation_path"),
        ({"test_path": "nowhere.txt"}, "dataset.test_path"),
    ],
)
def test_a_missing_file(tmp_path: Path, values: dict[str, str], key: str) -> None:
    (tmp_path / "a.txt").write_text(lines(30))
    # The folder looked in tells where a relative path went wrong.
    with pytest.raises(DataError, match=f"{key}=nowhere.txt: no such file .*{tmp_path}"):
        load(**{"path": str(tmp_path / "a.txt"), **values})


@pytest.mark.parametrize("key", ["path", "validation_path", "test_path"])
def test_what_would_be_waited_for_or_never_ends_is_refused(tmp_path: Path, key: str) -> None:
    (tmp_path / "a.txt").write_text(lines(30))
    os.mkfifo(tmp_path / "pipe")
    waiting = socket.socket(socket.AF_UNIX)
    waiting.bind("socket")
    with waiting:
        for path, kind in (("pipe", "named pipe"), ("socket", "socket"), ("/dev/zero", "device")):
            with pytest.raises(DataError, match=rf"dataset\.{key}={path}: a {kind}"):
                load(**{"path": "a.txt", key: path})


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("nowhere")])
def test_a_text_of_a_folder_that_cannot_be_read_is_not_passed_over(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    (tmp_path / "a.txt").write_text(lines(30))
    make(tmp_path / "b.txt")
    with pytest.raises(DataError, match=r"b\.txt: a (named pipe|link to nothing), and a file"):
        load(tmp_path)


@pytest.mark.parametrize("path", ["~nobody-of-that-name/a.txt", "a" * 5000])
def test_a_path_that_cannot_be(path: str) -> None:
    with pytest.raises(DataError, match=r"dataset.path=.*: cannot be looked up"):
        load(path)


@pytest.mark.parametrize("content", [b"", b" \n\n\t"])
def test_an_empty_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a.txt: empty"):
        load(path)


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_a_binary_file(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\x7fELF\x02\x01\x00\x00text")
    with pytest.raises(DataError, match=r"a.txt: binary \(byte 6 is zero\).*dataset.encoding"):
        load(path, encoding=encoding)


def test_a_file_in_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    content = "plain\n" * 20 + "café\n"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(
        DataError, match=r"a.txt, line 21: byte 4 of it is not utf-8; .* dataset.encoding=latin-1"
    ):
        load(path)
    corpus = load(path, encoding="latin-1")
    assert corpus.train + corpus.validation + corpus.test == content


@pytest.mark.parametrize("encoding", ["utf-9", "hex", ""])
def test_an_unknown_encoding(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.txt"
    path.write_text(lines(30))
    with pytest.raises(DataError, match=f"dataset.encoding={encoding}: no such encoding"):
        load(path, encoding=encoding)


@pytest.mark.parametrize(
    ("fractions", "message"),
    [
        ((0.6, 0.4), "leave nothing to train on"),
        ((-0.1, 0.1), "dataset.validation_fraction=-0.1: must be at least 0"),
        ((0.1, 0.0), "the test split has no text"),
        ((0.0, 0.1), "the validation split has no text"),
        ((0.001, 0.1), "the validation split has no text"),
    ],
)
def test_fractions_that_leave_a_split_empty(
    tmp_path: Path, fractions: tuple[float, float], message: str
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("ab" * 20)
    with pytest.raises(DataError, match=message):
        load(path, validation_fraction=fractions[0], test_fraction=fractions[1])


@pytest.mark.parametrize(
    "names",
    [
        ("ptb.train.txt", "ptb.valid.txt", "ptb.test.txt"),
        ("wiki.train.tokens", "wiki.valid.tokens", "wiki.test.tokens"),
        ("train.txt", "validation.txt", "test.txt"),
        ("Train.TXT", "dev.TXT", "TEST.TXT"),
        ("train", "val", "test"),
        ("medieval.train.txt", "medieval.valid.txt", "medieval.test.txt"),
        ("contest_train.txt", "contest_validation.txt", "contest_test.txt"),
        ("ptbtrain.txt", "ptbvalid.txt", "ptbtest.txt"),
    ],
)
def test_split_files_are_found_by_their_names(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (tmp_path / name).write_text(f"text of {name}\n")
    for other in ("README.md", ".train.txt.swp", "train.zip", "test.json"):
        (tmp_path / other).write_text("not of a split")
    (tmp_path / "train_logs").mkdir()
    corpus = load_splits("splits", str(tmp_path), "utf-8")
    found = (corpus.train, corpus.validation, corpus.test)
    assert found == tuple(f"text of {name}\n" for name in names)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ("train.txt", "test.txt"),
            r"no file for the validation split; .* validation or val or dev",
        ),
        ((), r"no file for the train split; .*\(the folder holds nothing\)"),
        (
            ("a.train.txt", "b.train.txt", "valid.txt", "test.txt"),
            "a.train.txt and b.train.txt for the train split",
        ),
    ],
)
def test_a_split_without_one_file_of_its_name(
    tmp_path: Path, names: tuple[str, ...], message: str
) -> None:
    for name in names:
        (tmp_path / name).write_text("text")
    with pytest.raises(DataError, match=message):
        load_splits("splits", str(tmp_path), "utf-8")


def test_split_files_that_cannot_be_used(tmp_path: Path) -> None:
    for name in ("train.txt", "valid.txt", "test.txt"):
        (tmp_path / name).write_text("text")
    with pytest.raises(DataError, match=r"a file, .* dataset=text splits a file"):
        load_splits("splits", str(tmp_path / "train.txt"), "utf-8")
    with pytest.raises(DataError, match=r"dataset.path=nowhere: no such"):
        load_splits("splits", "nowhere", "utf-8")
    (tmp_path / "valid.txt").write_text("")
    with pytest.raises(DataError, match=r"valid.txt: empty"):
        load_splits("splits", str(tmp_path), "utf-8")
    (tmp_path / "valid.txt").write_bytes(b"caf\xe9")
    with pytest.raises(DataError, match=r"valid.txt, line 1: byte 4 of it is not utf-8"):
        load_splits("splits", str(tmp_path), "utf-8")
    assert load_splits("splits", str(tmp_path), "latin-1").validation == "café"
