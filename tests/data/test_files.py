"""Files as every reader opens them; what only one reader refuses is tested with it."""

import gzip
from pathlib import Path

import pytest

from unrolled.data.files import (
    existing_file,
    existing_folder,
    read_bytes,
    read_lines,
    read_text,
)
from unrolled.errors import DataError


def test_line_ends_of_windows_and_a_byte_order_mark_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo\r\n")
    assert read_text(path, "utf-8") == "one\ntwo\n"


@pytest.mark.parametrize("encoding", ["utf-16", "utf_16", "UTF-32"])
def test_an_encoding_with_zero_bytes_is_not_binary(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("naïve\n".encode(encoding))
    assert read_text(path, encoding) == "naïve\n"


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be read \(Is a directory\)"):
        read_text(tmp_path, "utf-8")


def test_compressed_files_are_read_as_others(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(b"one\ntwo\n"))
    assert read_text(path, "utf-8") == "one\ntwo\n"
    path.write_bytes(gzip.compress(b"one\ntwo\n")[:-4])
    with pytest.raises(DataError, match=r"a.txt.gz: the compressed file is damaged"):
        read_bytes(path)
    path.write_bytes(b"one\ntwo\n")
    with pytest.raises(DataError, match=r"a.txt.gz: ends in .gz, and is not compressed by gzip"):
        read_bytes(path)


def test_lines_end_where_line_breaks_are_and_nowhere_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("one\x0c\x85 more\r\n\ntwo\u2028 more\n\n\n", encoding="utf-8", newline="")
    assert read_lines(path, "utf-8") == ["one\x0c\x85 more", "", "two\u2028 more"]


@pytest.mark.parametrize(
    ("content", "place"),
    [(b"\xe9", "line 1: byte 1"), (b"a\nb\n\ncaf\xe9\n", "line 4: byte 4")],
)
def test_a_byte_that_does_not_decode_has_its_place(
    tmp_path: Path, content: bytes, place: str
) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"a.txt, {place} of it is not utf-8; .*latin-1"):
        read_text(path, "utf-8")


def test_a_file_is_no_folder_and_a_folder_no_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("one")
    assert existing_file(str(path), "dataset.path") == path
    assert existing_folder(str(tmp_path), "dataset.path") == tmp_path
    with pytest.raises(DataError, match=r"dataset.path=.*: a folder, and a file is needed"):
        existing_file(str(tmp_path), "dataset.path")
    with pytest.raises(DataError, match=r"dataset.path=.*a.txt: a file, and a folder is needed"):
        existing_folder(str(path), "dataset.path")
