"""The series that come with statsmodels."""

import sys

import numpy as np
import pytest

from unrolled.config.build import build
from unrolled.config.compose import compose_run
from unrolled.data.series import Series
from unrolled.errors import DataError


def load(*overrides: str) -> Series:
    made = build(compose_run(["task=forecasting", *overrides]).dataset)
    assert isinstance(made, Series)
    return made


def test_weekly_co2_with_its_missing_weeks() -> None:
    made = load("dataset=co2")
    assert (made.values.shape, made.season, made.unit) == ((2284, 1), 52, "ppm")
    assert (made.times[0], made.times[-1]) == ("1958-03-29", "2001-12-29")
    assert made.treated == {"missing values interpolated": 59}
    assert made.values[:2, 0].tolist() == [316.1, 317.3]
    with pytest.raises(DataError, match=r"59 of 2,284 values are missing; choose dataset.missing"):
        load("dataset=co2", "dataset.missing=refuse")
    assert len(load("dataset=co2", "dataset.missing=drop").values) == 2284 - 59


def test_monthly_means_of_co2() -> None:
    made = load("dataset=co2", "dataset.every=month")
    assert (made.values.shape, made.season) == ((526, 1), 12)
    assert made.times[:2] == ["1958-03", "1958-04"]
    assert made.values[1, 0] == pytest.approx(np.mean([317.3, 317.6, 317.5, 316.4]))
    assert made.treated == {"missing values interpolated": 5}


def test_yearly_sunspots() -> None:
    made = load("dataset=sunspots")
    assert (made.values.shape, made.season, made.treated) == ((309, 1), 11, {})
    assert (made.times[0], made.times[-1], made.axis()) == ("1700", "2008", (1700.0, 1.0))


@pytest.mark.parametrize("dataset", ["co2", "sunspots"])
def test_without_the_library_the_extra_is_named(
    dataset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "statsmodels.datasets", None)
    with pytest.raises(DataError, match=r"pip install 'unrolled\[series\]'"):
        load(f"dataset={dataset}")
