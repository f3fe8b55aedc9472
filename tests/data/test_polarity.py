from collections.abc import Callable
from pathlib import Path

import pytest

from unrolled.data.labeled import LabeledSequences
from unrolled.errors import ConfigError, DataError

Load = Callable[..., LabeledSequences]


def write(folder: Path, negative: bytes, positive: bytes) -> str:
    folder.mkdir()
    (folder / "reviews.neg").write_bytes(negative)
    (folder / "reviews.pos").write_bytes(positive)
    (folder / "README").write_text("of the reviews")
    return f"dataset.path={folder}"


def test_a_folder_of_two_files(load: Load, tmp_path: Path) -> None:
    path = write(tmp_path / "r", b"dull .\n so dull\n", b"moving .\n")
    data = load("dataset=polarity", path)
    assert list(data.inputs) == ["dull .", "so dull", "moving ."]
    assert list(data.targets) == ["negative", "negative", "positive"]
    assert not data.given
    assert not data.treated


def test_two_files_wherever_they_are(load: Load, tmp_path: Path) -> None:
    (tmp_path / "bad.txt").write_text("dull\n")
    (tmp_path / "good.txt").write_text("moving\n")
    named = ("dataset.negative=bad.txt", "dataset.positive=good.txt")
    data = load("dataset=polarity", *named)
    assert dict(zip(data.inputs, data.targets, strict=True)) == {
        "dull": "negative", "moving": "positive",
    }  # fmt: skip
    for wrong in ((), named[:1], named[1:], ("dataset.path=.", named[0])):
        with pytest.raises(ConfigError, match=r"takes dataset.path, .* or both dataset.negative"):
            load("dataset=polarity", *wrong)
    with pytest.raises(DataError, match=r"dataset.negative=none.txt: no such file"):
        load("dataset=polarity", "dataset.negative=none.txt", named[1])
    with pytest.raises(DataError, match=r"dataset.negative=.*: a folder, and a file is needed"):
        load("dataset=polarity", f"dataset.negative={tmp_path}", named[1])


def test_another_encoding_and_its_place(load: Load, tmp_path: Path) -> None:
    # The byte 0x85 ends a line for Python's splitlines, and here it is three dots.
    path = write(tmp_path / "r", "dull\nclich\xe9 \x85 twice\n".encode("latin-1"), b"moving\n")
    with pytest.raises(
        DataError,
        match=r"reviews.neg, line 2: byte 6 of it is not utf-8; .*dataset.encoding=latin-1",
    ):
        load("dataset=polarity", path)
    data = load("dataset=polarity", path, "dataset.encoding=latin-1")
    assert list(data.inputs) == ["dull", "clich\xe9 \x85 twice", "moving"]


def test_a_byte_order_mark_and_line_ends_of_windows_are_no_text(
    load: Load, tmp_path: Path
) -> None:
    path = write(tmp_path / "r", b"\xef\xbb\xbfdull\r\ndry\r\n", b"moving\r\n\r\n")
    assert list(load("dataset=polarity", path).inputs) == ["dull", "dry", "moving"]


def test_an_empty_line_is_refused_or_counted(load: Load, tmp_path: Path) -> None:
    path = write(tmp_path / "r", b"dull\n\n  \ndry\n", b"moving\n")
    with pytest.raises(DataError, match=r"reviews.neg, line 2: no text; .*dataset.missing=drop"):
        load("dataset=polarity", path)
    data = load("dataset=polarity", path, "dataset.missing=drop")
    assert list(data.inputs) == ["dull", "dry", "moving"]
    assert data.treated == {"examples without text dropped": 2}


@pytest.mark.parametrize("names", [(), ("a.neg",), ("a.neg", "b.neg", "a.pos")])
def test_a_folder_without_one_file_of_each(
    load: Load, tmp_path: Path, names: tuple[str, ...]
) -> None:
    for name in names:
        (tmp_path / name).write_text("text\n")
    with pytest.raises(DataError, match=r"that ends in \.(neg|pos), and one is needed"):
        load("dataset=polarity", f"dataset.path={tmp_path}")


def test_an_empty_file(load: Load, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"reviews.pos: empty"):
        load("dataset=polarity", write(tmp_path / "r", b"dull\n", b""))
