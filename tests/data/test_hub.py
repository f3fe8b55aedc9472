import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unrolled.data import hub
from unrolled.data.corpus import Corpus
from unrolled.data.labeled import LabeledSequences
from unrolled.errors import DataError

Load = Callable[..., LabeledSequences]


@pytest.fixture(autouse=True)
def _cache_of_its_own_and_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets
    import huggingface_hub.constants

    # Both libraries read their environment once, when they are imported.
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "hf"))
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()


def text(path: str = "text", **values: Any) -> Corpus:
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
    corpus = text(data_files=files(tmp_path, "one\n\ntwo ü\n", "three\n", "four\n"))
    # A line is a row.
    assert corpus == Corpus("hub", "one\n\ntwo ü", "three", "four")
    assert (tmp_path / "hf").is_dir()


def test_a_column_of_a_table_and_a_separator(tmp_path: Path) -> None:
    tables = [f"n,body\n1,{word} a\n2,\n3,{word} b\n" for word in ("x", "y", "z")]
    made = files(tmp_path, *tables, suffix="csv")
    corpus = text("csv", data_files=made, column="body", separator=" | ")
    # A row without a value is no text, and above all not the word None.
    assert corpus == Corpus("hub", "x a | x b", "y a | y b", "z a | z b")


def test_parts_of_a_split_as_splits(tmp_path: Path) -> None:
    made = files(tmp_path, "".join(f"{i}\n" for i in range(10)))
    parts = {
        "train_split": "train[:80%]",
        "validation_split": "train[80%:90%]",
        "test_split": "train[90%:]",
    }
    assert text(data_files=made, **parts) == Corpus("hub", "\n".join("01234567"), "8", "9")


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match=r"pip install 'unrolled\[hub\]'"):
        text("some/name")


def test_a_column_that_is_not_there_or_is_no_text(tmp_path: Path) -> None:
    made = files(tmp_path, *["n,text\n1,a\n"] * 3, suffix="csv")
    with pytest.raises(DataError, match=r"dataset.column=body: csv has the columns n, text"):
        text("csv", data_files=made, column="body")
    with pytest.raises(DataError, match=r"dataset.column=n: holds int64, not text"):
        text("csv", data_files=made, column="n")


def test_a_column_of_nested_values_is_no_text(tmp_path: Path) -> None:
    made = files(tmp_path, *['{"text": {"a": 1}}\n'] * 3, suffix="jsonl")
    with pytest.raises(DataError, match=r"dataset.column=text: holds no single value"):
        text("json", data_files=made)


@pytest.mark.parametrize("values", [{}, {"subset": "small"}, {"revision": "abc"}])
def test_a_hub_that_cannot_be_reached(values: dict[str, str]) -> None:
    with pytest.raises(
        DataError,
        match=r"dataset.path=nobody/nothing, train split 'train': .* \(Couldn't reach",
    ):
        text("nobody/nothing", **values)


def test_a_name_that_is_no_data_set() -> None:
    with pytest.raises(DataError, match=r"dataset.path=no/such/thing, .*cannot be loaded"):
        text("no/such/thing")


@pytest.mark.parametrize(
    ("split", "reason"),
    [("dev", "Unknown split"), ("train[", "Unrecognized"), ("train[:150%]", "Percent")],
)
def test_a_split_that_is_not_there(tmp_path: Path, split: str, reason: str) -> None:
    made = files(tmp_path, "a\n", "b\n", "c\n")
    with pytest.raises(DataError) as caught:
        text(data_files=made, validation_split=split)
    assert f"validation split {split!r}: cannot be loaded ({reason}" in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be loaded \(Unable to find .*nowhere.txt"):
        text(data_files={"train": str(tmp_path / "nowhere.txt")})


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
        text(loader, data_files={"train": str(path)})


def test_rows_without_text_are_a_split_without_text(tmp_path: Path) -> None:
    made = files(tmp_path, "a\n", "\n\n", "c\n")
    with pytest.raises(DataError, match="the validation split has no text"):
        text(data_files=made)


def rows(suffix: str, values: list[dict[str, Any]]) -> str:
    """A new file of these rows, named after the split."""
    import polars as pl

    path = Path(f"rows{len(list(Path().glob('rows*')))}.{suffix}")
    if suffix == "csv":
        pl.DataFrame(values).write_csv(path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in values))
    return str(path)


TRAIN = [{"text": f"text {i}", "label": i % 2, "mood": "ab"[i % 2]} for i in range(20)]
TEST = [{"text": f"held {i}", "label": i % 2, "mood": "ab"[i % 2]} for i in range(4)]


@pytest.mark.parametrize("suffix", ["csv", "json"])
@pytest.mark.parametrize(("label", "classes"), [("label", ["0", "1"]), ("mood", ["a", "b"])])
def test_labelled_texts_with_a_test_split(
    load: Load, suffix: str, label: str, classes: list[str]
) -> None:
    made = f"dataset.data_files={{train: {rows(suffix, TRAIN)}, test: {rows(suffix, TEST)}}}"
    data = load("dataset=hub_labeled", f"dataset.path={suffix}", made, f"dataset.label={label}")
    assert list(data.inputs) == [row["text"] for row in [*TRAIN, *TEST]]
    assert list(data.targets) == classes * 12
    places = data.places()
    assert places["test"].tolist() == [20, 21, 22, 23]
    assert len(places["validation"]) == 2
    assert len(places["train"]) == 18


def test_a_test_split_is_made_where_there_is_none(load: Load) -> None:
    options = (
        "dataset=hub_labeled", "dataset.path=json",
        f"dataset.data_files={{train: {rows('json', TRAIN)}}}",
    )  # fmt: skip
    data = load(*options, "dataset.test_split=null")
    assert {name: len(places) for name, places in data.places().items()} == {
        "train": 16, "validation": 2, "test": 2,
    }  # fmt: skip
    with pytest.raises(DataError, match=r"test split 'test': cannot be loaded"):
        load(*options)


def test_classes_with_names_are_called_by_them(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["bad", "good"])}
    )
    table = datasets.Dataset.from_dict(
        {"text": ["a", "b", "c"], "label": [1, 0, -1]}, features=features
    )
    table.to_parquet("a.parquet")
    options = (
        "dataset=hub_labeled", "dataset.path=parquet", "dataset.data_files={train: a.parquet}",
        "dataset.test_split=null",
    )  # fmt: skip
    # The library's number for a row without a class.
    with pytest.raises(DataError, match=r"parquet, train split, row 3: no label"):
        load(*options)
    data = load(*options, "dataset.missing=drop")
    assert list(data.targets) == ["good", "bad"]
    assert data.treated == {"examples without label dropped": 1}


@pytest.mark.parametrize(
    ("row", "options", "message"),
    [
        ({}, ["dataset.text=body"], r"dataset.text=body: json has the columns text, label, mood"),
        ({}, ["dataset.label=class"], r"dataset.label=class: json has the columns text, label, m"),
        ({}, ["dataset.text=label"], r"dataset.text=label: holds int64, not text"),
        ({"label": 0.5}, [], r"dataset.label=label: holds float64, and classes are words"),
        ({"text": None}, [], r"json, train split, row 21: no text; .*dataset.missing=drop"),
        ({"label": None}, [], r"json, train split, row 21: no label"),
    ],
)
def test_labelled_columns_that_cannot_be_used(
    load: Load, row: dict[str, Any], options: list[str], message: str
) -> None:
    made = rows("json", [*TRAIN, {**TRAIN[0], **row}])
    with pytest.raises(DataError, match=message):
        load(
            "dataset=hub_labeled", "dataset.path=json", "dataset.test_split=null",
            f"dataset.data_files={{train: {made}}}", *options,
        )  # fmt: skip


def test_a_label_of_several_values_is_refused(load: Load) -> None:
    made = rows("json", [{**row, "label": {"a": 1}} for row in TRAIN])
    with pytest.raises(DataError, match=r"dataset.label=label: holds no single value, and"):
        load(
            "dataset=hub_labeled", "dataset.path=json", "dataset.test_split=null",
            f"dataset.data_files={{train: {made}}}",
        )  # fmt: skip
