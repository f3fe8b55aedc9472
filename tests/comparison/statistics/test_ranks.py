import math

import numpy as np
import pytest
import scikit_posthocs as posthocs
from numpy.typing import NDArray
from scipy import stats

from unrolled.comparison.statistics.ranks import rank


@pytest.fixture
def scores() -> NDArray[np.float64]:
    draw = np.random.default_rng(3)
    return draw.normal([0.0, 0.3, 0.8, 2.5], 1.0, (9, 4))


def test_ranks_and_tests_are_those_of_another_implementation(
    scores: NDArray[np.float64],
) -> None:
    found = rank(scores, True)
    nemenyi = posthocs.posthoc_nemenyi_friedman(scores).to_numpy()
    # It has no correction of its own for these; ours is tested beside it.
    for test in found.tests:
        assert test.nemenyi_p == pytest.approx(nemenyi[test.first, test.second], abs=1e-6)
        alone = stats.wilcoxon(scores[:, test.first], scores[:, test.second]).pvalue
        assert test.wilcoxon_p == pytest.approx(alone)
    long = [(data, row, scores[data, row]) for data in range(9) for row in range(4)]
    wilcoxon = posthocs.posthoc_wilcoxon(
        [[value for _, row, value in long if row == which] for which in range(4)], p_adjust="holm"
    ).to_numpy()
    for test in found.tests:
        assert test.p_corrected == pytest.approx(wilcoxon[test.first, test.second])


def test_the_critical_difference_is_demsars() -> None:
    # Demšar 2006 has the quantile 2.569 for 4 classifiers, of which he compares 14 data sets.
    found = rank(np.random.default_rng(0).normal(size=(14, 4)), True)
    assert found.critical_difference == pytest.approx(2.569 * math.sqrt(20 / 84), abs=1e-3)


def test_a_difference_of_ranks_is_critical_where_its_p_is_5_percent(
    scores: NDArray[np.float64],
) -> None:
    found = rank(scores, True)
    assert found.critical_difference is not None
    for test in found.tests:
        apart = abs(found.means[test.first] - found.means[test.second])
        assert test.nemenyi_p is not None
        assert (apart > found.critical_difference) == (test.nemenyi_p < 0.05)


def test_direction_and_ties() -> None:
    scores = np.array([[1.0, 2.0, 2.0], [1.0, 3.0, 4.0]])
    assert rank(scores, True).means == (1.0, 2.25, 2.75)
    assert rank(scores, False).means == (3.0, 1.75, 1.25)
    same = rank(np.ones((3, 3)), True)
    assert (same.means, same.friedman_p) == ((2.0, 2.0, 2.0), 1.0)
    assert [test.wilcoxon_p for test in same.tests] == [1.0, 1.0, 1.0]


def test_two_rows_have_wilcoxons_test_alone() -> None:
    found = rank(np.array([[1.0, 2.0], [1.0, 2.5], [3.0, 3.1], [1.0, 1.4], [0, 2], [2, 9]]), True)
    assert (found.friedman_p, found.critical_difference) == (None, None)
    assert [test.nemenyi_p for test in found.tests] == [None]
    # 2 of 64 patterns of signs.
    assert found.tests[0].p_corrected == pytest.approx(2 / 64)


def test_tied_differences_keep_an_exact_p_and_infinity_is_worst() -> None:
    scores = np.array([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0], [1.0, math.inf], [5.0, 5.0]])
    # Four differences, all of one sign: 2 of 16 patterns.
    assert rank(scores, True).tests[0].wilcoxon_p == pytest.approx(2 / 16)
    both = np.array([[math.inf, math.inf], [1.0, 2.0]])
    assert rank(both, True).means == (1.25, 1.75)


def test_equal_rows_are_told_apart_in_at_most_5_percent() -> None:
    draw = np.random.default_rng(2)
    found = [rank(draw.normal(size=(12, 3)), True) for _ in range(150)]
    shown = {
        "wilcoxon": sum(min(test.p_corrected for test in one.tests) < 0.05 for one in found),
        "friedman": sum(one.friedman_p is not None and one.friedman_p < 0.05 for one in found),
    }
    for count in shown.values():
        assert stats.binomtest(count, 150, 0.05, "greater").pvalue > 0.01
