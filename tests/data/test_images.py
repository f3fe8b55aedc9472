import gzip
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from unrolled.data.labeled import LabeledSequences
from unrolled.data.sequences import Sequences
from unrolled.errors import ConfigError, DataError

Load = Callable[..., LabeledSequences]

Pixels = np.ndarray[Any, Any]
IMAGES = np.random.default_rng(0).integers(0, 256, (30, 4, 3), dtype=np.uint8)
LABELS = np.arange(30, dtype=np.uint8) % 5


def idx(values: Pixels) -> bytes:
    """An IDX file of unsigned bytes."""
    return struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape) + values.tobytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twenty training images and ten test images, as MNIST's files are called."""
    made = tmp_path / "mnist"
    made.mkdir()
    for name, part in (("train", slice(20)), ("t10k", slice(20, None))):
        (made / f"{name}-images-idx3-ubyte").write_bytes(idx(IMAGES[part]))
        (made / f"{name}-labels-idx1-ubyte").write_bytes(idx(LABELS[part]))
    return made


def steps(data: LabeledSequences, place: int) -> Pixels:
    assert isinstance(data.inputs, Sequences)
    return data.inputs[place]


def test_images_are_read_pixel_by_pixel(load: Load, folder: Path) -> None:
    data = load("dataset=idx", f"dataset.path={folder}", "dataset.split.validation_fraction=0.25")
    assert list(data.targets) == [str(label) for label in LABELS]
    for place, image in enumerate(IMAGES):
        assert steps(data, place).shape == (12, 1)
        assert steps(data, place).dtype == np.float32
        np.testing.assert_allclose(steps(data, place)[:, 0], image.reshape(-1) / 255, rtol=1e-6)
    places = data.places()
    assert places["test"].tolist() == list(range(20, 30))
    assert sorted([*places["train"], *places["validation"]]) == list(range(20))


def test_images_are_read_row_by_row(load: Load, folder: Path) -> None:
    data = load("dataset=idx", f"dataset.path={folder}", "dataset.rows=true")
    np.testing.assert_allclose(steps(data, 7), IMAGES[7] / 255, rtol=1e-6)
    assert data.feature_names == ["column 1", "column 2", "column 3"]


def test_permuted_pixels_are_in_one_other_order(load: Load, folder: Path) -> None:
    plain = load("dataset=idx", f"dataset.path={folder}")
    permuted = load("dataset=idx", f"dataset.path={folder}", "dataset.permuted=true")
    # The order of one image, each of whose pixels is told from the others by all thirty images.
    assert isinstance(plain.inputs, Sequences)
    assert isinstance(permuted.inputs, Sequences)
    before = plain.inputs.steps.reshape(30, 12)
    after = permuted.inputs.steps.reshape(30, 12)
    order = [int(np.flatnonzero((before == column[:, None]).all(0))[0]) for column in after.T]
    assert sorted(order) == list(range(12))
    assert order != list(range(12))
    other = load(
        "dataset=idx", f"dataset.path={folder}", "dataset.permuted=true",
        "dataset.permutation_seed=1",
    )  # fmt: skip
    assert len({plain.fingerprint, permuted.fingerprint, other.fingerprint}) == 3
    with pytest.raises(ConfigError, match="pixels in another order have no rows"):
        load("dataset=digits", "dataset.permuted=true", "dataset.rows=true")
    with pytest.raises(ConfigError, match=r"dataset.permutation_seed=-1: must be at least 0"):
        load("dataset=digits", "dataset.permutation_seed=-1")


def test_compressed_files_and_other_names(load: Load, folder: Path) -> None:
    expected = load("dataset=idx", f"dataset.path={folder}").fingerprint
    for file in list(folder.iterdir()):
        name = file.name.replace("t10k", "kmnist-test") + ".gz"
        (folder / name).write_bytes(gzip.compress(file.read_bytes(), mtime=0))
        if "train" not in name:
            file.unlink()
    # Of the training files both kinds are there now.
    assert load("dataset=idx", f"dataset.path={folder}").fingerprint == expected


def test_without_test_images_a_test_split_is_made(load: Load, folder: Path) -> None:
    (folder / "t10k-images-idx3-ubyte").unlink()
    data = load("dataset=idx", f"dataset.path={folder}", "dataset.split.by=random")
    assert {name: len(places) for name, places in data.places().items()} == {
        "train": 16, "validation": 2, "test": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train-images-idx3-ubyte", idx(IMAGES)[:-1], r"359 values, .* 30 x 4 x 3 ask for 360"),
        ("train-images-idx3-ubyte", idx(IMAGES) + b"x", r"361 values, .* ask for 360"),
        ("train-images-idx3-ubyte", b"\0\0\x08", "no IDX file"),
        ("train-images-idx3-ubyte", b"PK" + idx(IMAGES)[2:], "no IDX file"),
        ("train-images-idx3-ubyte", idx(LABELS), r"0x08 in 1 dimensions, .* in 3 are needed"),
        ("train-images-idx3-ubyte", b"\0\0\x0d\3" + idx(IMAGES)[4:], r"values of type 0x0d"),
        ("train-images-idx3-ubyte", idx(IMAGES), r"20 labels, and train-images.* 30 images"),
        ("t10k-images-idx3-ubyte", idx(IMAGES[:10, :2]), r"images of 2 x 3 .* have 4 x 3"),
        ("t10k-images-idx3-ubyte.copy", idx(IMAGES), r"t10k-images-idx3-ubyte and t10k-images-i"),
    ],
)
def test_files_that_are_damaged_or_do_not_fit(
    load: Load, folder: Path, name: str, content: bytes, message: str
) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        load("dataset=idx", f"dataset.path={folder}")


@pytest.mark.parametrize("content", [b"no gzip", gzip.compress(idx(LABELS), mtime=0)[:-9]])
def test_damaged_compressed_files(load: Load, folder: Path, content: bytes) -> None:
    (folder / "train-labels-idx1-ubyte").unlink()
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(content)
    with pytest.raises(DataError, match=r"idx1-ubyte.gz: .*(not compressed|is damaged)"):
        load("dataset=idx", f"dataset.path={folder}")


def test_files_that_are_missing(load: Load, folder: Path, tmp_path: Path) -> None:
    (folder / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte: no such file; t10k-images"):
        load("dataset=idx", f"dataset.path={folder}")
    with pytest.raises(DataError, match=r"no file of training images, .*folder holds mnist\)"):
        load("dataset=idx", f"dataset.path={tmp_path}")
    with pytest.raises(DataError, match="a file, and a folder is needed"):
        load("dataset=idx", f"dataset.path={folder}/train-images-idx3-ubyte")


def test_the_embedded_digits(load: Load) -> None:
    data = load("dataset=digits")
    digits = load_digits()
    assert len(data.inputs) == 1797
    np.testing.assert_allclose(steps(data, 5)[:, 0] * 16, digits.images[5].reshape(-1))
    assert list(data.targets) == [str(label) for label in digits.target]
    assert steps(load("dataset=digits", "dataset.rows=true"), 5).shape == (8, 8)
    assert {name: len(places) for name, places in data.places().items()} == {
        "train": 1437, "validation": 180, "test": 180,
    }  # fmt: skip
