"""Labelled sequences: the splits that they have, or are given, and what tells two apart."""

from typing import Any

import numpy as np
import pytest

from unrolled.data.labeled import LabeledSequences
from unrolled.data.sequences import Sequences
from unrolled.data.splits import Fold, Split
from unrolled.errors import ConfigError, DataError

COUNT = 60
SPLITS = ["train", "validation", "test"]


def texts(**values: Any) -> LabeledSequences:
    defaults: dict[str, Any] = {
        "name": "made",
        "inputs": [f"text {place}" for place in range(COUNT)],
        "targets": [("a", "b")[place % 2] for place in range(COUNT)],
    }
    return LabeledSequences(**{**defaults, **values})


def numbers(**values: Any) -> LabeledSequences:
    steps = np.arange(COUNT * 6, dtype=np.float32).reshape(COUNT, 3, 2)
    targets = np.arange(COUNT, dtype=np.float64)[:, None]
    return texts(**{"inputs": Sequences.of_equal(steps), "targets": targets, **values})


def places(first: int, last: int) -> np.ndarray[Any, Any]:
    return np.arange(first, last)


def test_texts_and_numbers_classes_and_values_are_told_apart() -> None:
    assert texts().has_texts
    assert texts().has_classes
    assert not numbers().has_texts
    assert not numbers().has_classes


def test_some_of_the_examples_with_their_targets() -> None:
    inputs, targets = texts().take(np.array([3, 0]))
    assert (inputs, targets) == (["text 3", "text 0"], ["b", "a"])
    sequences, values = numbers().take(np.array([3, 0]))
    np.testing.assert_array_equal(sequences[0], numbers().inputs[3])
    np.testing.assert_array_equal(values, [[3.0], [0.0]])


@pytest.mark.parametrize("data", [texts(), numbers()])
def test_splits_are_made_where_none_are_given(data: LabeledSequences) -> None:
    made = data.places()
    assert list(made) == SPLITS
    assert sorted(np.concatenate([*made.values()]).tolist()) == list(range(COUNT))


@pytest.mark.parametrize("own", [("test",), ("validation",), ("validation", "test")])
@pytest.mark.parametrize("split", [Split(), Split("group"), Split("time")])
def test_given_splits_stay_and_the_rest_is_made_of_train(
    own: tuple[str, ...], split: Split
) -> None:
    given = {name: places(40 + 10 * i, 50 + 10 * i) for i, name in enumerate(own)}
    given["train"] = places(0, 40)
    data = texts(given=given, split=split, groups=[f"group {p // 4}" for p in range(COUNT)])
    made = data.places()
    assert list(made) == SPLITS
    for name in own:
        assert made[name].tolist() == given[name].tolist()
    made_of_train = [made[name] for name in SPLITS if name not in own]
    assert sorted(np.concatenate(made_of_train).tolist()) == list(range(40))


def test_folds_leave_a_given_test_split_as_it_is() -> None:
    given = {"train": places(0, 40), "validation": places(40, 50), "test": places(50, 60)}
    data = texts(given=given)
    held = []
    for number in range(5):
        made = data.places(Fold(number, 5, "validation"))
        assert made["test"].tolist() == list(range(50, 60))
        assert not set(made["train"]) & set(made["validation"])
        held += made["validation"].tolist()
    # The folds are of the validation split, too.
    assert sorted(held) == list(range(50))
    with pytest.raises(ConfigError, match=r"dataset=made has a test split .*holds_out=validation"):
        data.places(Fold(0, 5, "test"))


def test_all_folds_have_one_fingerprint_and_other_data_another() -> None:
    changed = [f"text {place}" for place in range(COUNT)]
    changed[7] += "!"
    group = [str(place // 4) for place in range(COUNT)]
    given = {"train": places(0, 50), "test": places(50, 60)}
    others = [
        texts(), texts(inputs=changed), texts(targets=["a"] * 59 + ["b"]), texts(groups=group),
        texts(split=Split(seed=1)), texts(given=given),
        texts(given={"train": places(0, 49), "test": places(49, 60)}),
        # The same letters, cut otherwise.
        texts(inputs=["text 0t", "ext 1", *[*texts().inputs][2:]]),
        numbers(), numbers(targets=np.ones((COUNT, 1))),
        numbers(targets=texts().targets),
    ]  # fmt: skip
    assert len({data.fingerprint for data in others}) == len(others)
    data = texts()
    before = data.fingerprint
    data.places(Fold(1, 3))
    assert texts(name="another").fingerprint == data.fingerprint == before


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"inputs": [], "targets": []}, "dataset=made: no examples in it"),
        ({"targets": ["a"]}, "60 examples have 1 targets"),
        ({"targets": ["a"] * COUNT}, "dataset=made: one class only, 'a'"),
        (
            {"given": {"train": places(0, 60), "test": places(0, 0)}},
            "no examples in the test split that it has of its own",
        ),
    ],
)
def test_what_is_no_data_set(values: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        texts(**values)
