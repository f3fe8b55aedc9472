from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unrolled.data.labeled import LabeledSequences
from unrolled.data.sequences import Sequences
from unrolled.errors import DataError

Load = Callable[..., LabeledSequences]
INPUTS = np.random.default_rng(0).normal(size=(12, 5, 2))
CLASSES = np.arange(12) % 3
VALUES = INPUTS.sum(axis=1)


def save(name: str = "a.npz", **arrays: Any) -> str:
    np.savez(name, **{"inputs": INPUTS, "targets": CLASSES, **arrays})
    return f"dataset.path={name}"


def test_inputs_and_classes(load: Load) -> None:
    data = load("dataset=arrays", save())
    assert isinstance(data.inputs, Sequences)
    for sequence, expected in zip(data.inputs, INPUTS, strict=True):
        np.testing.assert_allclose(sequence, expected, rtol=1e-6)
        assert sequence.dtype == np.float32
    assert list(data.targets) == [str(c) for c in CLASSES]
    assert len(data.feature_names) == 2
    assert not data.given


@pytest.mark.parametrize("targets", [VALUES, VALUES[:, :1], VALUES[:, 0]])
def test_fractional_targets_are_values(load: Load, targets: np.ndarray[Any, Any]) -> None:
    data = load("dataset=arrays", save(targets=targets))
    np.testing.assert_array_equal(data.targets, targets.reshape(12, -1))
    assert len(data.target_names) == targets.reshape(12, -1).shape[1]


def test_what_targets_are_can_be_said(load: Load) -> None:
    whole = load("dataset=arrays", save(), "dataset.values=true")
    np.testing.assert_array_equal(whole.targets, CLASSES[:, None])
    words = load("dataset=arrays", save(targets=CLASSES * 1.0), "dataset.values=false")
    assert list(words.targets) == [str(c) for c in CLASSES]
    letters = np.array(list("abc"))[CLASSES]
    assert list(load("dataset=arrays", save(targets=letters)).targets) == letters.tolist()


def test_lengths_leave_out_what_follows(load: Load) -> None:
    lengths = np.arange(12) % 5 + 1
    padded = np.where(np.arange(5)[:, None] < lengths[:, None, None], INPUTS, np.nan)
    data = load("dataset=arrays", save(inputs=padded, lengths=lengths))
    assert isinstance(data.inputs, Sequences)
    for sequence, expected, length in zip(data.inputs, INPUTS, lengths, strict=True):
        np.testing.assert_allclose(sequence, expected[:length], rtol=1e-6)


def test_one_feature_needs_no_dimension_and_a_constant_one_is_counted(load: Load) -> None:
    data = load("dataset=arrays", save(inputs=INPUTS[:, :, 0]))
    assert data.inputs[3].shape == (5, 1)  # type: ignore[union-attr]
    constant = INPUTS.copy()
    constant[..., 1] = 4
    assert load("dataset=arrays", save(inputs=constant)).treated == {"constant features": 1}


def test_groups_and_files_of_splits_of_their_own(load: Load) -> None:
    groups = np.arange(12) // 3
    test = ("dataset.test_path=test.npz",)
    save("test.npz", inputs=INPUTS[:4, :3], targets=CLASSES[:4], groups=groups[:4])
    data = load("dataset=arrays", save(groups=groups), *test, "dataset.split.by=group")
    assert data.groups == [str(g) for g in [*groups, *groups[:4]]]
    places = data.places()
    assert places["test"].tolist() == list(range(12, 16))
    assert len(places["validation"]) == 3
    with pytest.raises(DataError, match=r"test.npz: groups are in some of the files only"):
        load("dataset=arrays", save(), *test)
    save("test.npz", inputs=INPUTS[:4, :, :1], targets=CLASSES[:4])
    with pytest.raises(DataError, match=r"test.npz: 1 features, and the training split has 2"):
        load("dataset=arrays", save(), *test)
    save("test.npz", targets=VALUES)
    with pytest.raises(DataError, match=r"2 values an example, and the training split has 1"):
        load("dataset=arrays", save(targets=VALUES[:, 0]), *test)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"inputs": INPUTS[0, 0]}, r"inputs are float64 of shape \[2\], and numbers \[examples, "),
        ({"inputs": np.full((12, 5, 2), "x")}, r"inputs are <U1 of shape"),
        ({"targets": CLASSES[:4]}, r"targets are of shape \[4\], and there are 12 inputs"),
        ({"targets": np.ones((12, 1, 1))}, r"targets are float64 of shape \[12, 1, 1\]"),
        ({"groups": CLASSES[:4]}, r"groups are of shape \[4\], and there are 12 inputs"),
        ({"lengths": np.full(12, 6)}, r"whole numbers from 1 to 5, .* example 1 is 6"),
        ({"lengths": CLASSES}, r"whole numbers from 1 to 5, .* example 1 is 0"),
        ({"lengths": np.ones(12)}, r"whole numbers from 1 to 5"),
        ({"targets": np.where(CLASSES == 2, np.inf, 1.0)}, r"a.npz: targets\[2\]\[0\] is inf"),
        ({"targets": np.zeros(12, int)}, "one class only, '0'"),
        ({"inputs": np.where(INPUTS[3, 1, 1] == INPUTS, np.nan, 1)}, r"s\[3\]\[1\]\[1\] is nan"),
        ({"inputs": INPUTS * 1e39}, r"inputs\[0\]\[1\]\[0\] is .*e\+38, .* too large"),
        ({"targets": np.array([None] * 12)}, r"cannot be read as arrays .* not of objects"),
        ({"inputs": INPUTS[:0], "targets": CLASSES[:0]}, "no examples in it"),
    ],
)  # fmt: skip
def test_arrays_that_do_not_fit(load: Load, arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load("dataset=arrays", save(**arrays))


def test_files_that_hold_no_such_arrays(load: Load) -> None:
    np.savez("a.npz", x=INPUTS)
    with pytest.raises(DataError, match=r"a.npz: no array called inputs \(it has: x\)"):
        load("dataset=arrays", "dataset.path=a.npz")
    np.save("a.npy", INPUTS)
    with pytest.raises(DataError, match=r"a.npy: one array; save several with numpy.savez"):
        load("dataset=arrays", "dataset.path=a.npy")
    Path("a.txt").write_text("no arrays")
    with pytest.raises(DataError, match=r"a.txt: cannot be read as arrays"):
        load("dataset=arrays", "dataset.path=a.txt")
    Path("a.npz").write_bytes(Path("a.npz").read_bytes()[:100])
    with pytest.raises(DataError, match=r"a.npz: cannot be read as arrays"):
        load("dataset=arrays", "dataset.path=a.npz")
