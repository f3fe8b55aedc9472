import sys
from pathlib import Path
from typing import Any

import pytest

from unrolled.data import hub
from unrolled.data.corpus import Corpus
from unrolled.errors import DataError


@pytest.fixture(autouse=True)
def _cache_of_its_own_and_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets
    import huggingface_hub.constants

    # Both libraries read their environment once, when they are imported.
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "hf"))
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()


def load(path: str = "text", **values: Any) -> Corpus:
    """``hub.load`` with the defaults of the configuration."""
    defaults = {
        "subset": None,
        "column": "text",
        "train_split": "train",
        "validation_split": "validation",
        "test_split": "test",
        "data_files": None,
        "revision": None,
        "separator": "\n",
    }
    return hub.load("hub", path, **{**defaults, **values})


def files(folder: Path, *contents: str, suffix: str = "txt") -> dict[str, str]:
    """``dataset.data_files`` of new files for train, validation and test."""
    made = {}
    for split, content in zip(("train", "validation", "test"), contents, strict=False):
        path = folder / f"{split}.{suffix}"
        path.write_text(content, encoding="utf-8")
        made[split] = str(path)
    return made


def test_local_files_through_the_real_loader(tmp_path: Path) -> None:
    corpus = load(data_files=files(tmp_path, "one\n\ntwo ü\n", "three\n", "four\n"))
    # A line is a row.
    assert corpus == Corpus("hub", "one\n\ntwo ü", "three", "four")
    assert (tmp_path / "hf").is_dir()


def test_a_column_of_a_table_and_a_separator(tmp_path: Path) -> None:
    tables = [f"n,body\n1,{word} a\n2,\n3,{word} b\n" for word in ("x", "y", "z")]
    made = files(tmp_path, *tables, suffix="csv")
    corpus = load("csv", data_files=made, column="body", separator=" | ")
    # A row without a value is no text, and above all not the word None.
    assert corpus == Corpus("hub", "x a | x b", "y a | y b", "z a | z b")


def test_parts_of_a_split_as_splits(tmp_path: Path) -> None:
    made = files(tmp_path, "".join(f"{i}\n" for i in range(10)))
    parts = {
        "train_split": "train[:80%]",
        "validation_split": "train[80%:90%]",
        "test_split": "train[90%:]",
    }
    assert load(data_files=made, **parts) == Corpus("hub", "\n".join("01234567"), "8", "9")


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match=r"pip install 'unrolled\[hub\]'"):
        load("some/name")


def test_a_column_that_is_not_there_or_is_no_text(tmp_path: Path) -> None:
    made = files(tmp_path, *["n,text\n1,a\n"] * 3, suffix="csv")
    with pytest.raises(DataError, match=r"dataset.column=body: csv has the columns n, text"):
        load("csv", data_files=made, column="body")
    with pytest.raises(DataError, match=r"dataset.column=n: holds int64, not text"):
        load("csv", data_files=made, column="n")


def test_a_column_of_nested_values_is_no_text(tmp_path: Path) -> None:
    made = files(tmp_path, *['{"text": {"a": 1}}\n'] * 3, suffix="jsonl")
    with pytest.raises(DataError, match=r"dataset.column=text: holds no single value"):
        load("json", data_files=made)


@pytest.mark.parametrize("values", [{}, {"subset": "small"}, {"revision": "abc"}])
def test_a_hub_that_cannot_be_reached(values: dict[str, str]) -> None:
    with pytest.raises(
        DataError,
        match=r"dataset.path=nobody/nothing, train split 'train': .* \(Couldn't reach",
    ):
        load("nobody/nothing", **values)


def test_a_name_that_is_no_data_set() -> None:
    with pytest.raises(DataError, match=r"dataset.path=no/such/thing, .*cannot be loaded"):
        load("no/such/thing")


@pytest.mark.parametrize(
    ("split", "reason"),
    [("dev", "Unknown split"), ("train[", "Unrecognized"), ("train[:150%]", "Percent")],
)
def test_a_split_that_is_not_there(tmp_path: Path, split: str, reason: str) -> None:
    made = files(tmp_path, "a\n", "b\n", "c\n")
    with pytest.raises(DataError) as caught:
        load(data_files=made, validation_split=split)
    assert f"validation split {split!r}: cannot be loaded ({reason}" in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be loaded \(Unable to find .*nowhere.txt"):
        load(data_files={"train": str(tmp_path / "nowhere.txt")})


@pytest.mark.parametrize(
    ("loader", "content", "reason"),
    [
        ("text", b"caf\xe9\n", "'utf-8' codec can't decode byte 0xe9"),
        ("csv", b'text\n"open\n', "EOF inside string"),
        ("json", b'{"text": \n', "JSON parse error"),
        ("text", b"", ""),
    ],
)
def test_a_file_that_cannot_be_parsed(
    tmp_path: Path, loader: str, content: bytes, reason: str
) -> None:
    path = tmp_path / "damaged"
    path.write_bytes(content)
    # The reason itself, not the library's wrapper around it.
    with pytest.raises(DataError, match=rf"train split 'train': cannot be loaded \(.*{reason}"):
        load(loader, data_files={"train": str(path)})


def test_rows_without_text_are_a_split_without_text(tmp_path: Path) -> None:
    made = files(tmp_path, "a\n", "\n\n", "c\n")
    with pytest.raises(DataError, match="the validation split has no text"):
        load(data_files=made)
