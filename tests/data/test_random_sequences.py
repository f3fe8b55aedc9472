"""Random sequences: their sizes, and what their targets follow from."""

import numpy as np
import pytest

from unrolled.config.build import build
from unrolled.config.compose import compose_run
from unrolled.data.labeled import LabeledSequences
from unrolled.data.sequences import Sequences
from unrolled.errors import ConfigError


def load(*overrides: str) -> LabeledSequences:
    made = build(compose_run(["task=regression", *overrides]).dataset)
    assert isinstance(made, LabeledSequences)
    return made


def means(made: LabeledSequences) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    assert isinstance(made.inputs, Sequences)
    steps = made.inputs.steps.reshape(len(made.inputs), -1)
    result: np.ndarray[tuple[int, ...], np.dtype[np.float64]] = steps.mean(1, dtype=np.float64)
    return result


def test_the_texts_sizes_and_a_value_each() -> None:
    made = load()
    assert isinstance(made.inputs, Sequences)
    assert made.inputs.steps.shape == (10_000, 1)
    assert set(made.inputs.lengths.tolist()) == {10}
    values = np.asarray(made.targets)
    assert values.shape == (1000, 1)
    # Random targets have nothing to do with the features.
    assert abs(np.corrcoef(values[:, 0], means(made))[0, 1]) < 0.1
    assert {split: len(places) for split, places in made.places().items()} == {
        "train": 800,
        "validation": 100,
        "test": 100,
    }


def test_targets_that_can_be_learned() -> None:
    made = load("dataset.learnable=true", "dataset.features=3")
    np.testing.assert_allclose(np.asarray(made.targets)[:, 0], means(made))
    classes = load("dataset.learnable=true", "dataset.targets=classes", "dataset.features=64")
    assert classes.has_classes
    above = means(classes) > np.median(means(classes))
    assert list(classes.targets) == [str(int(one)) for one in above]
    assert above.mean() == 0.5


def test_the_data_follows_from_its_own_seed() -> None:
    first = load().fingerprint
    assert load("seed=7").fingerprint == first
    assert load("dataset.seed=1").fingerprint != first
    assert load("dataset.targets=classes").fingerprint != first


def test_a_size_below_one_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"dataset.steps=0: must be at least 1"):
        load("dataset.steps=0")
