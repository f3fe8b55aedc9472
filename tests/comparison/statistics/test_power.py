import pytest
from scipy import stats

from unrolled.comparison.statistics.power import least_p, pairs_for, pairs_for_ranks, power


@pytest.mark.parametrize("pairs", range(2, 9))
def test_no_wilcoxon_test_is_below_its_least_p(pairs: int) -> None:
    assert stats.wilcoxon(range(1, pairs + 1)).pvalue == pytest.approx(least_p(pairs))


@pytest.mark.parametrize(("comparisons", "pairs"), [(1, 6), (2, 7), (20, 10), (210, 14)])
def test_pairs_that_a_rank_test_needs(comparisons: int, pairs: int) -> None:
    assert pairs_for_ranks(comparisons) == pairs
    assert comparisons * least_p(pairs) < 0.05 <= comparisons * least_p(pairs - 1)


@pytest.mark.parametrize(
    ("pairs", "effect", "level"),
    [(3, 0.3, 0.05), (3, 5.0, 0.025), (5, -1.0, 0.05), (10, 2.0, 0.05 / 210), (100, 0.3, 0.05)],
)
def test_power_is_that_of_the_noncentral_t(pairs: int, effect: float, level: float) -> None:
    critical = stats.t.ppf(1 - level / 2, pairs - 1)
    t = stats.nct(pairs - 1, effect * pairs**0.5)
    expected = t.sf(critical) + t.cdf(-critical)
    assert power(pairs, effect, level) == pytest.approx(expected, abs=1e-3)


def test_pairs_for_a_power_of_80_percent() -> None:
    # Cohen's tables and G*Power have 34 pairs for d = 0.5 and 199 for 0.2, two-sided at 5 %.
    assert pairs_for(0.5, 0.05) == 34
    assert pairs_for(-0.2, 0.05) == 199
    assert pairs_for(50.0, 0.05) == 3
    assert pairs_for(0.01, 0.05) is None
