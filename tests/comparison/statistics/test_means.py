import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from unrolled.comparison.grouping import Replicate
from unrolled.comparison.statistics import Estimate, estimate, paired_differences
from unrolled.comparison.statistics.means import interquartile_mean, median, standard_deviation


def of_seeds(values: Sequence[float]) -> dict[Replicate, float]:
    return {Replicate(seed): float(value) for seed, value in enumerate(values)}


def over_seeds(values: Sequence[float]) -> Estimate:
    return estimate(of_seeds(values))


@pytest.mark.parametrize("count", [2, 3, 5, 20])
def test_the_interval_is_students_t(count: int) -> None:
    values = np.random.default_rng(count).normal(5, 1, count)
    result = over_seeds(values.tolist())
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert result.mean == pytest.approx(values.mean())
    assert (result.low, result.high) == pytest.approx((expected.low, expected.high))
    assert result.seeds == count


Draw = Callable[[np.random.Generator, tuple[int, int]], NDArray[np.float64]]
DRAWS: dict[str, tuple[Draw, float]] = {
    "normal": (lambda draw, size: draw.normal(size=size), 0.0),
    "skewed": (lambda draw, size: draw.lognormal(0, 0.25, size), math.exp(0.25**2 / 2)),
    "heavier tails": (lambda draw, size: draw.standard_t(4, size), 0.0),
    "Laplace": (lambda draw, size: draw.laplace(size=size), 0.0),
}


@pytest.mark.parametrize("seeds", [5, 10])
@pytest.mark.parametrize("name", DRAWS)
def test_the_interval_holds_the_true_mean_in_93_to_97_percent(name: str, seeds: int) -> None:
    draw, mean = DRAWS[name]
    studies = draw(np.random.default_rng(seeds), (4000, seeds)).tolist()
    held = [
        one.low <= mean <= one.high
        for one in map(over_seeds, studies)
        if one.low is not None and one.high is not None
    ]
    assert len(held) == len(studies)
    assert 0.93 < np.mean(held) < 0.97


def test_a_percentile_bootstrap_would_not() -> None:
    studies = np.random.default_rng(0).normal(size=(400, 5))
    ends = stats.bootstrap(
        (studies,), np.mean, axis=1, method="percentile", n_resamples=500, rng=0
    ).confidence_interval
    assert np.mean((ends.low <= 0) & (ends.high >= 0)) < 0.88


def test_over_data_sets_the_mean_and_its_variance_are_of_each() -> None:
    """Of two data sets it is half of Welch's t-test of one against the other's negative."""
    draw = np.random.default_rng(0)
    one, other = draw.normal(5, 1, 4), draw.normal(50, 3, 7)
    values = {Replicate(seed, None, "a"): value for seed, value in enumerate(one.tolist())}
    values |= {Replicate(seed, None, "b"): value for seed, value in enumerate(other.tolist())}
    result = estimate(values)
    welch = stats.ttest_ind(one, -other, equal_var=False).confidence_interval(0.95)
    assert result.mean == pytest.approx((one.mean() + other.mean()) / 2)
    assert (result.low, result.high) == pytest.approx((welch.low / 2, welch.high / 2))
    spread = math.sqrt((one.var(ddof=1) + other.var(ddof=1)) / 2)
    assert standard_deviation(values) == pytest.approx(spread)


def test_a_single_seed_of_one_of_the_data_sets_gives_no_interval() -> None:
    values = {Replicate(0, None, "a"): 1.0, Replicate(0, None, "b"): 2.0}
    values[Replicate(1, None, "b")] = 4.0
    result = estimate(values)
    assert (result.mean, result.low, result.high) == (2.0, None, None)


@pytest.mark.parametrize("count", [1, 3, 4, 5, 8, 11])
def test_medians_and_interquartile_means_are_numpys_and_scipys(count: int) -> None:
    values = np.random.default_rng(count).normal(size=count)
    replicates = of_seeds(values.tolist())
    assert median(replicates) == pytest.approx(np.median(values))
    assert interquartile_mean(replicates) == pytest.approx(stats.trim_mean(values, 0.25))
    expected = None if count == 1 else pytest.approx(values.std(ddof=1))
    assert standard_deviation(replicates) == expected


def test_one_run_that_diverged_leaves_the_median_and_the_middle_alone() -> None:
    values = of_seeds([5.0, 5.1, 5.2, 5.3, math.inf])
    assert median(values) == 5.2
    assert interquartile_mean(values) == pytest.approx(5.2)
    assert standard_deviation(values) is None
    assert interquartile_mean(of_seeds([math.inf, -math.inf])) == math.inf


def test_many_equal_values_have_an_interval_of_no_width() -> None:
    result = over_seeds([2.0] * 12)
    assert (result.mean, result.low, result.high) == (2.0, 2.0, 2.0)


@pytest.mark.parametrize("values", [[2.5], [2.5, math.inf], [math.inf, math.inf, math.inf]])
def test_one_seed_and_infinite_values_have_no_interval(values: list[float]) -> None:
    result = over_seeds(values)
    assert (result.mean, result.low, result.high) == (max(values), None, None)
    assert result.seeds == len(values)


def of_folds(*by_seed: list[float]) -> dict[Replicate, float]:
    """Values by replicate, from a list of the folds' values for each seed."""
    return {
        Replicate(seed, fold): value
        for seed, folds in enumerate(by_seed)
        for fold, value in enumerate(folds)
    }


# Their mean is 0.03 and s² = (1 + 1 + 9 + 9) 1e-4 / 4 = 5e-4, so with n_test / n_train = 1 / 4 the
# variance of the mean is (1 / 5 + 1 / 4) 5e-4 = 2.25e-4, its root 0.015, and t = 2. For 4 degrees
# of freedom the table has p = 0.1161 for t = 2, and t = 2.776 for 5 %.
SHIFTS = [0.02, 0.04, 0.0, 0.06, 0.03]
LEVEL = [0.8, 0.7, 0.9, 0.75, 0.85]


def test_an_estimate_over_folds_has_the_corrected_interval() -> None:
    result = estimate(of_folds(SHIFTS), overlap=0.25)
    assert result.mean == pytest.approx(0.03)
    assert (result.low, result.high) == pytest.approx((-0.01164, 0.07164), abs=5e-5)
    assert (result.seeds, result.folds, result.overlap) == (1, 5, 0.25)


def test_seeds_of_a_fold_are_averaged_first() -> None:
    once = estimate(of_folds(SHIFTS), 0.25)
    noise = [0.01, -0.02, 0.03, -0.01, 0.02]
    up = [shift + n for shift, n in zip(SHIFTS, noise, strict=True)]
    down = [shift - n for shift, n in zip(SHIFTS, noise, strict=True)]
    twice = estimate(of_folds(up, down), 0.25)
    assert (twice.mean, twice.low, twice.high) == pytest.approx((once.mean, once.low, once.high))
    assert (twice.seeds, twice.folds) == (2, 5)
    base = of_folds([0.0] * 5, [1.0] * 5)
    values = {replicate: base[replicate] + v for replicate, v in of_folds(up, down).items()}
    (difference,) = paired_differences([(values, base)], False, 0.25)
    assert difference.p == pytest.approx(0.1161, abs=5e-5)
