"""Images read as sequences: IDX files (MNIST and its kin), and scikit-learn's digits."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unrolled.data.files import existing_folder, read_bytes
from unrolled.data.labeled import LabeledSequences
from unrolled.data.sequences import Sequences
from unrolled.data.splits import Places, Split
from unrolled.errors import ConfigError, DataError

# What stands in the files' names, of MNIST and of its kin.
NAMES = {"train": ("train",), "validation": ("valid",), "test": ("t10k", "test")}
# The third byte of an IDX file; of the types that there may be, images have this one.
UNSIGNED_BYTES = 0x08


@dataclass(frozen=True)
class _Order:
    """How an image becomes a sequence."""

    permuted: bool
    permutation_seed: int
    rows: bool

    def __post_init__(self) -> None:
        if self.permuted and self.rows:
            raise ConfigError(
                "dataset.permuted=true and dataset.rows=true: pixels in another order have no rows"
            )
        if self.permutation_seed < 0:
            raise ConfigError(
                f"dataset.permutation_seed={self.permutation_seed}: must be at least 0"
            )

    def sequences(self, images: npt.NDArray[Any], brightest: int) -> Sequences:
        """Images ``[images, height, width]`` as sequences of float32 from 0 to 1: a step is a
        pixel, or a row of them."""
        scaled = images.astype(np.float32) / np.float32(brightest)
        if self.rows:
            return Sequences.of_equal(scaled)
        pixels = scaled.reshape(len(scaled), -1, 1)
        if self.permuted:
            order = np.random.default_rng(self.permutation_seed).permutation(pixels.shape[1])
            pixels = pixels[:, order]
        return Sequences.of_equal(pixels)


def load_idx(
    name: str,
    path: str,
    permuted: bool = False,
    permutation_seed: int = 0,
    rows: bool = False,
    split: Split = Split(),
) -> LabeledSequences:
    """A folder of IDX files as MNIST has them: ``train-images-idx3-ubyte``,
    ``train-labels-idx1-ubyte``, and ``t10k-…`` (or ``test-…``) for the test split, compressed
    (.gz) or not.

    Args:
        permuted: whether the pixels of all images are in one other order, drawn from
            ``permutation_seed`` (Le, Jaitly & Hinton 2015).
        rows: whether a step is a row of pixels, and not one pixel.

    Raises:
        ConfigError: ``permuted`` and ``rows`` exclude each other.
        DataError: a file is missing or damaged, or does not fit the others.
    """
    order = _Order(permuted, permutation_seed, rows)
    images: dict[str, npt.NDArray[np.uint8]] = {}
    labels: dict[str, npt.NDArray[np.uint8]] = {}
    for which, (image_file, label_file) in _files(existing_folder(path, "dataset.path")).items():
        images[which], labels[which] = _read_idx(image_file, 3), _read_idx(label_file, 1)
        if len(images[which]) != len(labels[which]):
            raise DataError(
                f"{label_file}: {len(labels[which]):,} labels, and {image_file.name} has "
                f"{len(images[which]):,} images"
            )
        if images[which].shape[1:] != images["train"].shape[1:]:
            raise DataError(
                f"{image_file}: images of {_size(images[which])} pixels, and those of the "
                f"training split have {_size(images['train'])}"
            )
    ends = np.cumsum([0, *map(len, images.values())])
    given = {w: np.arange(ends[i], ends[i + 1]) for i, w in enumerate(images)}
    every = np.concatenate(list(images.values()))
    classes = np.concatenate(list(labels.values()))
    return _labeled(
        name, order.sequences(every, 255), classes, split, given if len(given) > 1 else {}
    )


def load_digits(
    name: str,
    permuted: bool = False,
    permutation_seed: int = 0,
    rows: bool = False,
    split: Split = Split(),
) -> LabeledSequences:
    """The 1,797 handwritten digits of 8 x 8 pixels that come with scikit-learn.

    Args:
        permuted, permutation_seed, rows: as for ``load_idx``.
    """
    from sklearn.datasets import load_digits as read_digits

    order = _Order(permuted, permutation_seed, rows)
    digits = read_digits()
    return _labeled(name, order.sequences(digits.images, 16), digits.target, split, {})


def _labeled(
    name: str,
    inputs: Sequences,
    classes: npt.NDArray[Any],
    split: Split,
    given: Mapping[str, Places],
) -> LabeledSequences:
    features = inputs.steps.shape[1]
    names = ["pixel"] if features == 1 else [f"column {i + 1}" for i in range(features)]
    labels = [str(label) for label in classes.tolist()]
    return LabeledSequences(name, inputs, labels, given=given, split=split, feature_names=names)


def _files(folder: Path) -> dict[str, tuple[Path, Path]]:
    """For each split that is there its files of images and of labels, training first."""
    result = {}
    # Where a file is there both compressed and not, the one that is not comes first.
    there = sorted(folder.iterdir(), key=lambda file: (file.suffix == ".gz", file.name))
    images = [f for f in there if "images" in f.name and "idx3" in f.name]
    for which, words in NAMES.items():
        found = [f for f in images if any(word in f.name for word in words)]
        if len({f.name.removesuffix(".gz") for f in found}) > 1:
            raise DataError(
                f"dataset.path={folder}: {' and '.join(f.name for f in found)} for the {which} "
                "split; leave one of them in the folder"
            )
        if not found:
            continue
        stem = found[0].name.removesuffix(".gz")
        stem = stem.replace("images", "labels").replace("idx3", "idx1")
        labels = [f for f in there if f.name.removesuffix(".gz") == stem]
        if not labels:
            raise DataError(f"{folder / stem}: no such file; {found[0].name} needs its labels")
        result[which] = (found[0], labels[0])
    if "train" not in result:
        names = ", ".join(f.name for f in there) or "nothing"
        raise DataError(
            f"dataset.path={folder}: no file of training images, whose name has train, images "
            f"and idx3 in it, such as train-images-idx3-ubyte.gz (the folder holds {names})"
        )
    return result


def _read_idx(path: Path, dimensions: int) -> npt.NDArray[np.uint8]:
    """An IDX file of unsigned bytes: two zero bytes, the type, the number of dimensions, the size
    of each as four bytes, the largest first, and then the values.

    Raises:
        DataError: it is no such file, or shorter or longer than it says.
    """
    content = read_bytes(path)
    start = 4 + 4 * dimensions
    if len(content) < start or content[:2] != b"\0\0":
        raise DataError(f"{path}: no IDX file; one begins with two zero bytes and its sizes")
    if content[2] != UNSIGNED_BYTES or content[3] != dimensions:
        raise DataError(
            f"{path}: values of type 0x{content[2]:02x} in {content[3]} dimensions, and unsigned "
            f"bytes (0x{UNSIGNED_BYTES:02x}) in {dimensions} are needed"
        )
    shape = np.frombuffer(content, ">u4", dimensions, 4).astype(np.int64)
    values = np.frombuffer(content, np.uint8, offset=start)
    if len(values) != shape.prod():
        raise DataError(
            f"{path}: {len(values):,} values, and its sizes "
            f"{' x '.join(map(str, shape))} ask for {shape.prod():,}; the file is not whole"
        )
    return values.reshape(shape)


def _size(images: npt.NDArray[Any]) -> str:
    return " x ".join(map(str, images.shape[1:]))
