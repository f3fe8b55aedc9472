import os
from collections.abc import Callable
from pathlib import Path

import pytest

from unrolled.data.labeled import LabeledSequences
from unrolled.errors import DataError

Load = Callable[..., LabeledSequences]


@pytest.fixture(autouse=True)
def _reviews(tmp_path: Path) -> None:
    """Folders as IMDB's: twelve training reviews, four test reviews, some without a class."""
    for split, each in (("train", 6), ("test", 2)):
        for label in ("neg", "pos"):
            folder = tmp_path / "imdb" / split / label
            folder.mkdir(parents=True)
            for number in range(each):
                (folder / f"{number}_7.txt").write_text(f"{split} {label} {number}\nmore\n")
        (tmp_path / "imdb" / split / "urls.txt").write_text("of the reviews")
    unlabelled = tmp_path / "imdb" / "train" / "unsup"
    unlabelled.mkdir()
    (unlabelled / "0_0.txt").write_text("of no class")
    (tmp_path / "imdb" / "README").write_text("of the data")
    (tmp_path / "imdb" / "train" / "pos" / ".hidden").write_text("no review")


def test_a_folder_for_each_class_under_train_and_test(load: Load) -> None:
    data = load(
        "dataset=folders",
        "dataset.path=imdb",
        "dataset.classes=[neg,pos]",
        "dataset.split.validation_fraction=0.2",
    )
    assert len(data.inputs) == 16
    for text, label in zip(data.inputs, data.targets, strict=True):
        assert str(text).split()[1] == label
        assert str(text).endswith("\nmore")
    made = data.places()
    assert all(text.startswith("test") for text in data.take(made["test"])[0])
    assert {name: len(places) for name, places in made.items()} == {
        "train": 10, "validation": 2, "test": 4,
    }  # fmt: skip
    assert data.treated["folders of other classes left out"] == 1


def test_every_folder_is_a_class_where_none_are_named(load: Load) -> None:
    data = load("dataset=folders", "dataset.path=imdb")
    assert set(data.targets) == {"neg", "pos", "unsup"}


def test_folders_of_classes_without_splits(load: Load) -> None:
    data = load("dataset=folders", "dataset.path=imdb/train", "dataset.split.by=random")
    assert len(data.inputs) == 13
    assert not data.given
    # Files in folders below are of the class, too, whatever their names end with.
    below = Path("imdb/train/pos/more")
    below.mkdir()
    (below / "51060").write_text("deep")
    again = load("dataset=folders", "dataset.path=imdb/train")
    assert dict(zip(again.inputs, again.targets, strict=True))["deep"] == "pos"


@pytest.mark.parametrize("name", ["valid", "validation", "val", "dev"])
def test_a_validation_split_of_its_own(load: Load, name: str) -> None:
    for label in ("neg", "pos"):
        (Path("imdb") / name / label).mkdir(parents=True)
        (Path("imdb") / name / label / "0.txt").write_text(f"held {label}")
    data = load("dataset=folders", "dataset.path=imdb", "dataset.classes=[neg,pos]")
    assert sorted(data.take(data.places()["validation"])[0]) == ["held neg", "held pos"]
    assert len(data.places()["train"]) == 12
    other = "dev" if name == "val" else "val"
    (Path("imdb") / other).mkdir()
    with pytest.raises(DataError, match=r"imdb: \w+ and \w+ for the validation split; leave one"):
        load("dataset=folders", "dataset.path=imdb")


def test_an_empty_file_is_refused_or_counted(load: Load) -> None:
    Path("imdb/train/pos/3_7.txt").write_text("")
    options = ("dataset=folders", "dataset.path=imdb", "dataset.classes=[neg,pos]")
    with pytest.raises(DataError, match=r"pos/3_7.txt: no text; .*dataset.missing=drop"):
        load(*options)
    data = load(*options, "dataset.missing=drop")
    assert len(data.inputs) == 15
    assert data.treated["examples without text dropped"] == 1


def test_files_that_cannot_be_read(load: Load) -> None:
    Path("imdb/train/pos/3_7.txt").write_bytes(b"fine\ncaf\xe9")
    options = ("dataset=folders", "dataset.path=imdb")
    with pytest.raises(DataError, match=r"pos/3_7.txt, line 2: byte 4 of it is not utf-8"):
        load(*options)
    assert len(load(*options, "dataset.encoding=latin-1").inputs) == 17
    os.mkfifo("imdb/train/neg/pipe")
    with pytest.raises(DataError, match=r"neg/pipe: a named pipe"):
        load(*options)


def test_folders_that_are_not_there(load: Load) -> None:
    with pytest.raises(
        DataError, match=r"train: no folder for the class nag \(it has: neg, pos, unsup\)"
    ):
        load("dataset=folders", "dataset.path=imdb", "dataset.classes=[nag,pos]")
    with pytest.raises(DataError, match=r"imdb/test/pos: no folder for any class \(it has: none"):
        load("dataset=folders", "dataset.path=imdb/test/pos")
    with pytest.raises(DataError, match=r"README: a file, and a folder is needed"):
        load("dataset=folders", "dataset.path=imdb/README")
    with pytest.raises(DataError, match=r"one class only, 'pos'"):
        load("dataset=folders", "dataset.path=imdb", "dataset.classes=[pos]")
