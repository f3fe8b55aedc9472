"""What a series refuses, and how it is split by time."""

import numpy as np
import pytest

from unrolled.data.series import Series, time_as_number
from unrolled.data.splits import Fold
from unrolled.errors import DataError


def series(**options: object) -> Series:
    steps = 20
    values = np.arange(2.0 * steps).reshape(steps, 2)
    given: dict[str, object] = {
        "variables": ["a", "b"],
        "targets": ["b"],
        "times": [str(1900 + step) for step in range(steps)],
        **options,
    }
    return Series("made", values, **given)  # type: ignore[arg-type]


def test_the_latest_steps_are_the_test_s_and_those_before_validation() -> None:
    assert series(validation_fraction=0.1, test_fraction=0.2).bounds() == {
        "train": (0, 14),
        "validation": (14, 16),
        "test": (16, 20),
    }


def test_each_fold_is_predicted_from_what_came_before_it() -> None:
    made = series(validation_fraction=0.2)
    for number in range(4):
        bounds = made.bounds(Fold(number, 4))
        # Four stretches of four, behind the first.
        assert bounds["test"] == (4 + 4 * number, 8 + 4 * number)
        assert bounds["validation"][1] == bounds["test"][0]
        assert bounds["train"] == (0, bounds["validation"][0])
        assert bounds["validation"][1] - bounds["validation"][0] == round(0.2 * (4 + 4 * number))
    held = [made.bounds(Fold(number, 3, "validation")) for number in range(3)]
    assert {bounds["test"] for bounds in held} == {(16, 20)}
    assert [bounds["validation"] for bounds in held] == [(4, 8), (8, 12), (12, 16)]


def test_the_fingerprint_follows_from_values_and_split() -> None:
    first = series().fingerprint
    assert series().fingerprint == first
    other = series()
    other.values[3, 1] += 1
    assert other.fingerprint != first
    assert series(test_fraction=0.3).fingerprint != first
    assert series(season=2).fingerprint != first
    assert series(targets=["a"]).fingerprint != first


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"targets": ["c"]}, "the target c is no variable of it"),
        ({"season": 0}, "dataset.season=0: must be at least 1"),
        ({"test_fraction": 0.0}, "dataset.test_fraction=0.0: must be above 0, below 1"),
        ({"validation_fraction": 1.5}, "dataset.validation_fraction=1.5: must be above 0"),
    ],
)
def test_what_a_series_cannot_be(options: dict[str, object], said: str) -> None:
    with pytest.raises(DataError, match=said):
        series(**options)


def test_a_value_that_is_not_finite_is_named_with_its_time() -> None:
    values = np.ones((3, 1))
    values[1] = np.inf
    with pytest.raises(DataError, match="dataset=made: a is inf at 1901; a series has finite"):
        Series("made", values, ["a"], ["a"], ["1900", "1901", "1902"])


def test_a_fraction_that_leaves_nothing_to_train_on() -> None:
    with pytest.raises(DataError, match="leave nothing to train on"):
        series(test_fraction=0.6, validation_fraction=0.5).bounds()


@pytest.mark.parametrize(
    ("text", "number"),
    [("1700", 1700), ("3.5", 3.5), ("2001-01-01", 2001), ("2001-07", 2001.4956), ("x", None)],
)
def test_times_as_numbers(text: str, number: float | None) -> None:
    assert time_as_number(text) == (number if number is None else pytest.approx(number, abs=1e-3))


def test_the_axis_of_a_figure() -> None:
    assert series().axis() == (1900.0, 1.0)
    first, step = series(times=[f"{1950 + m // 12}-{m % 12 + 1:02}" for m in range(20)]).axis()
    assert first == 1950
    assert step == pytest.approx(1 / 12, rel=0.01)
