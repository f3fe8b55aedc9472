import math

import pytest
from scipy import stats

from unrolled.comparison.statistics import (
    NO_DIFFERENCE,
    Difference,
    estimate,
    holm,
    paired_difference,
    with_verdicts,
)


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


def test_interval_of_many_seeds_agrees_with_scipy_and_repeats() -> None:
    values = [math.sin(seed) for seed in range(20)]
    result = estimate(values)
    expected = stats.bootstrap(
        (values,), lambda x, axis: x.mean(axis=axis), method="percentile", rng=1
    ).confidence_interval
    assert result == estimate(values)
    assert result.low == pytest.approx(expected.low, abs=0.02)
    assert result.high == pytest.approx(expected.high, abs=0.02)


def test_one_seed_has_no_interval() -> None:
    result = estimate([2.5])
    assert (result.mean, result.low, result.high) == (2.5, None, None)


def test_paired_difference_is_the_paired_t_test() -> None:
    values = {1: 5.0, 2: 6.0, 3: 5.5, 9: 100.0}
    baseline = {3: 5.1, 1: 4.8, 2: 5.3, 4: -100.0}
    result = paired_difference(values, baseline)
    expected = stats.ttest_rel([5.0, 6.0, 5.5], [4.8, 5.3, 5.1])
    interval = expected.confidence_interval(0.95)
    assert result.seeds == [1, 2, 3]
    assert expected.df == 2
    assert result.mean == pytest.approx((0.2 + 0.7 + 0.4) / 3)
    assert result.p == pytest.approx(expected.pvalue)
    assert (result.low, result.high) == pytest.approx((interval.low, interval.high))


def test_fewer_than_two_common_seeds_claim_nothing() -> None:
    one = paired_difference({1: 5.0, 2: 6.0}, {1: 1.0, 3: 1.0})
    none = paired_difference({1: 5.0}, {2: 1.0})
    assert (one.mean, one.low, one.p) == (4.0, None, None)
    assert (none.mean, none.p) == (None, None)
    for judged in with_verdicts([one, none], "validation/loss"):
        assert "no" in judged.verdict
        assert not judged.shown


def test_seeds_that_change_nothing_are_no_evidence() -> None:
    constant = paired_difference({1: 5.0, 2: 5.0, 3: 5.0}, {1: 4.0, 2: 4.0, 3: 4.0})
    equal = paired_difference({1: 5.0, 2: 6.0}, {1: 5.0, 2: 6.0})
    judged = with_verdicts([constant, equal], "validation/loss")
    assert not judged[0].shown
    assert judged[0].p_corrected is None
    assert judged[1].verdict == NO_DIFFERENCE


def test_holm_by_hand() -> None:
    # Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1, and never below the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_verdict_rests_on_the_corrected_p() -> None:
    alone = with_verdicts([Difference([1, 2], 0.5, 0.1, 0.9, p=0.03)], "validation/loss")
    among = with_verdicts(
        [Difference([1, 2], 0.5, 0.1, 0.9, p=0.03), Difference([1, 2], 0.5, -1.0, 2.0, p=0.6)],
        "validation/loss",
    )
    assert alone[0].verdict == "worse"
    assert among[0].verdict == NO_DIFFERENCE
    assert among[0].p_corrected == pytest.approx(0.06)


@pytest.mark.parametrize(
    ("mean", "metric", "verdict"),
    [
        (0.5, "validation/perplexity", "worse"),
        (-0.5, "validation/perplexity", "better"),
        (0.5, "validation/accuracy", "better"),
        (-0.5, "validation/accuracy", "worse"),
    ],
)
def test_verdict_follows_the_direction(mean: float, metric: str, verdict: str) -> None:
    difference = Difference([1, 2, 3], mean, mean - 0.1, mean + 0.1, p=0.001)
    assert with_verdicts([difference], metric)[0].verdict == verdict
