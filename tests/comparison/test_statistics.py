import math
import random

import pytest
from scipy import stats

from unrolled.comparison.statistics import (
    NO_DIFFERENCE,
    Difference,
    estimate,
    holm,
    paired_differences,
)

BASELINE = {1: 5.0, 2: 5.2, 3: 5.1, 4: 5.3}


def compare_one(values: dict[int, float], baseline: dict[int, float]) -> Difference:
    (difference,) = paired_differences([values], baseline, lower_is_better=True)
    return difference


def test_interval_of_three_seeds_is_their_range() -> None:
    # All three resampled values are the smallest in 1 of 27 resamples: 3.7 %, more than the tail's
    # 2.5.
    result = estimate([1.0, 2.0, 6.0])
    assert (result.mean, result.low, result.high, result.seeds) == (3.0, 1.0, 6.0, 3)


def test_interval_of_four_seeds_leaves_the_ends_out() -> None:
    # Of 256 resamples of (0, 0, 0, 4) 81 have mean 0, 12 x 9 have 1, 54 have 2, 12 have 3, 1 has
    # 4.
    result = estimate([0.0, 0.0, 0.0, 4.0])
    assert (result.low, result.high) == (0.0, 3.0)


def test_interval_of_many_seeds_agrees_with_another_draw_and_repeats() -> None:
    values = [math.sin(seed) for seed in range(20)]
    result = estimate(values)
    expected = stats.bootstrap(
        (values,), lambda x, axis: x.mean(axis=axis), method="percentile", rng=1
    ).confidence_interval
    assert result == estimate(values)
    assert result.low == pytest.approx(expected.low, abs=0.02)
    assert result.high == pytest.approx(expected.high, abs=0.02)


def test_many_equal_values_have_an_interval_of_no_width() -> None:
    result = estimate([2.0] * 12)
    assert (result.mean, result.low, result.high) == (2.0, 2.0, 2.0)


@pytest.mark.parametrize("values", [[2.5], [2.5, math.inf], [math.inf, math.inf, math.inf]])
def test_one_seed_and_infinite_values_have_no_interval(values: list[float]) -> None:
    result = estimate(values)
    assert (result.mean, result.low, result.high) == (max(values), None, None)
    assert result.seeds == len(values)


def test_paired_difference_is_the_paired_t_test() -> None:
    values = {1: 5.0, 2: 6.0, 3: 5.5, 9: 100.0}
    baseline = {3: 5.1, 1: 4.8, 2: 5.3, 4: -100.0}
    result = compare_one(values, baseline)
    expected = stats.ttest_rel([5.0, 6.0, 5.5], [4.8, 5.3, 5.1])
    interval = expected.confidence_interval(0.95)
    assert result.seeds == [1, 2, 3]
    assert result.mean == pytest.approx((0.2 + 0.7 + 0.4) / 3)
    assert result.p == result.p_corrected == pytest.approx(expected.pvalue)
    assert (result.low, result.high) == pytest.approx((interval.low, interval.high))
    assert result.confidence == pytest.approx(0.95)


def test_fewer_than_two_common_seeds_claim_nothing() -> None:
    one, none = paired_differences(
        [{1: 5.0, 2: 6.0}, {2: 5.0}], {1: 1.0, 3: 1.0}, lower_is_better=True
    )
    assert (one.mean, one.low, one.p) == (4.0, None, None)
    assert (none.mean, none.p) == (None, None)
    assert one.verdict == "one common seed: no claim"
    assert none.verdict == "no seed in common"
    assert not one.shown
    assert not none.shown


def test_infinite_values_claim_nothing() -> None:
    worse = compare_one({1: math.inf, 2: 5.0, 3: 5.0}, BASELINE)
    assert (worse.mean, worse.low, worse.p) == (math.inf, None, None)
    assert worse.verdict == "infinite: no claim"
    both = compare_one({1: math.inf, 2: 5.0}, {1: math.inf, 2: 5.0})
    assert both.mean is None


def test_seeds_that_change_nothing_are_no_evidence() -> None:
    constant = compare_one({1: 5.0, 2: 5.0, 3: 5.0}, {1: 4.0, 2: 4.0, 3: 4.0})
    equal = compare_one({1: 5.0, 2: 6.0}, {1: 5.0, 2: 6.0})
    assert not constant.shown
    assert constant.p_corrected is None
    assert equal.verdict == NO_DIFFERENCE
    assert (equal.low, equal.high) == (0.0, 0.0)


def test_a_reason_against_a_difference_is_its_verdict_and_counts_for_no_correction() -> None:
    values = {seed: value + 0.1 + seed / 1000 for seed, value in BASELINE.items()}
    other, tested = paired_differences(["other data", values], BASELINE, lower_is_better=True)
    assert (other.mean, other.verdict) == (None, "other data")
    assert tested.p == tested.p_corrected


def test_holm_by_hand() -> None:
    # Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1, and never below the one before; the third is
    # the first that is not below its level, 0.05 / 2.
    corrected, levels = zip(*holm([0.01, 0.04, 0.03, 0.005]), strict=True)
    assert corrected == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert levels == pytest.approx((0.05 / 3, 0.05 / 2, 0.05 / 2, 0.05 / 4))
    assert [p for p, _ in holm([0.9, 0.8])] == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize("start", range(20))
def test_an_interval_leaves_zero_out_exactly_where_the_corrected_p_is_below_5_percent(
    start: int,
) -> None:
    draw = random.Random(start)
    baseline = {seed: 5 + draw.gauss(0, 0.1) for seed in range(6)}
    groups = [
        {seed: value + shift * draw.random() + draw.gauss(0, 0.05) for seed, value in pairs}
        for shift in (0.0, 0.02, 0.05, 0.1, 0.15, 0.3)
        for pairs in [list(baseline.items())]
    ]
    for difference in paired_differences(groups, baseline, lower_is_better=True):
        assert difference.p_corrected is not None
        assert difference.low is not None
        assert difference.high is not None
        leaves_zero_out = difference.low > 0 or difference.high < 0
        assert leaves_zero_out == (difference.p_corrected < 0.05) == difference.shown


def test_an_uncorrected_interval_would_disagree_with_its_p() -> None:
    """Alone the difference is shown; beside another one it is not, and its interval says so."""
    shift = {1: 0.05, 2: 0.25, 3: 0.30, 4: 0.20}
    values = {seed: BASELINE[seed] + shift[seed] for seed in shift}
    noise = {1: 0.3, 2: -0.3, 3: 0.1, 4: -0.1}
    other = {seed: BASELINE[seed] + noise[seed] for seed in noise}
    (alone,) = paired_differences([values], BASELINE, lower_is_better=True)
    among = paired_differences([values, other, other], BASELINE, lower_is_better=True)[0]
    assert alone.verdict == "worse"
    assert alone.low is not None
    assert alone.low > 0
    assert among.verdict == NO_DIFFERENCE
    assert among.low is not None
    assert among.low < 0
    assert among.confidence == pytest.approx(1 - 0.05 / 3)
    assert among.p == alone.p
    assert alone.p is not None
    assert among.p_corrected == pytest.approx(3 * alone.p)


@pytest.mark.parametrize(
    ("sign", "lower_is_better", "verdict"),
    [(1, True, "worse"), (-1, True, "better"), (1, False, "better"), (-1, False, "worse")],
)
def test_verdict_follows_the_direction(sign: int, lower_is_better: bool, verdict: str) -> None:
    values = {seed: value + sign * (1 + seed / 100) for seed, value in BASELINE.items()}
    (difference,) = paired_differences([values], BASELINE, lower_is_better)
    assert difference.verdict == verdict
