from collections.abc import Callable
from pathlib import Path

import pytest

from unrolled.data.labeled import LabeledSequences
from unrolled.errors import ConfigError, DataError

Load = Callable[..., LabeledSequences]

LINES = "DESC:manner How do moles dig ?\nNUM:date  When was it ?\nDESC:def What is a mole ?\n"


def write(name: str, content: str | bytes) -> str:
    Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
    return f"dataset.path={name}"


@pytest.mark.parametrize(
    ("level", "classes"),
    [("fine", ["DESC:manner", "NUM:date", "DESC:def"]), ("coarse", ["DESC", "NUM", "DESC"])],
)
def test_fine_and_coarse_classes(load: Load, level: str, classes: list[str]) -> None:
    data = load("dataset=label_lines", write("a", LINES), f"dataset.level={level}")
    assert list(data.targets) == classes
    assert list(data.inputs) == ["How do moles dig ?", "When was it ?", "What is a mole ?"]


def test_another_separator_leaves_blanks_in_classes_and_texts(load: Load) -> None:
    path = write("a", "very good\ta film\twith tabs\nbad \tanother\n")
    data = load("dataset=label_lines", path, r'dataset.separator="\t"')
    assert list(data.targets) == ["very good", "bad"]
    assert list(data.inputs) == ["a film\twith tabs", "another"]
    with pytest.raises(ConfigError, match=r"dataset.separator is empty"):
        load("dataset=label_lines", path, "dataset.separator=''")


def test_files_of_splits_of_their_own(load: Load) -> None:
    write("test", "a fifth\n")
    write("dev", "b fourth\n")
    path = write("train", "a first\nb second\na third\n")
    data = load(
        "dataset=label_lines", path, "dataset.validation_path=dev", "dataset.test_path=test"
    )
    texts = {name: data.take(places)[0] for name, places in data.places().items()}
    assert texts == {
        "train": ["first", "second", "third"], "validation": ["fourth"], "test": ["fifth"],
    }  # fmt: skip
    with pytest.raises(DataError, match=r"dataset.test_path=nowhere: no such file"):
        load("dataset=label_lines", path, "dataset.test_path=nowhere")


def test_the_validation_split_is_made_of_the_training_file_where_only_test_is_given(
    load: Load,
) -> None:
    write("test", "".join(f"{'ab'[i % 2]} test {i}\n" for i in range(10)))
    path = write("train", "".join(f"{'ab'[i % 2]} train {i}\n" for i in range(40)))
    data = load("dataset=label_lines", path, "dataset.test_path=test")
    made = data.places()
    assert {name: len(places) for name, places in made.items()} == {
        "train": 36, "validation": 4, "test": 10,
    }  # fmt: skip
    assert all(text.startswith("test") for text in data.take(made["test"])[0])


def test_the_line_that_does_not_decode_is_named(load: Load) -> None:
    path = write("a", b"a fine\nb caf\xe9\n")
    with pytest.raises(DataError, match=r"a, line 2: byte 6 of it is not utf-8"):
        load("dataset=label_lines", path)
    data = load("dataset=label_lines", path, "dataset.encoding=latin-1")
    assert list(data.inputs) == ["fine", "café"]


@pytest.mark.parametrize(
    ("line", "lacks"), [("a", "text"), ("a  ", "text"), (" no class", "label"), ("", "text")]
)
def test_a_line_that_lacks_something_is_refused_or_counted(
    load: Load, line: str, lacks: str
) -> None:
    path = write("a", f"a one\n{line}\nb two\n")
    with pytest.raises(DataError, match=rf"a, line 2: no {lacks}; .*dataset.missing=drop"):
        load("dataset=label_lines", path)
    data = load("dataset=label_lines", path, "dataset.missing=drop")
    assert list(data.inputs) == ["one", "two"]
    assert data.treated == {f"examples without {lacks} dropped": 1}


def test_a_test_file_of_which_nothing_is_left(load: Load) -> None:
    write("test", "a\nb\n")
    path = write("train", "a one\nb two\n")
    with pytest.raises(DataError, match="no examples in the test split that it has of its own"):
        load("dataset=label_lines", path, "dataset.test_path=test", "dataset.missing=drop")


def test_one_class_only(load: Load) -> None:
    with pytest.raises(DataError, match="dataset=label_lines: one class only, 'a'"):
        load("dataset=label_lines", write("a", "a one\na two\n"))
