import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from unrolled.comparison.grouping import Replicate
from unrolled.comparison.statistics.effects import effects


def of_seeds(values: Sequence[float], data: str = "") -> dict[Replicate, float]:
    return {Replicate(seed, None, data): value for seed, value in enumerate(values)}


ONES, OTHERS = [5.0, 5.2, 5.1, 5.6, 5.3], [5.1, 5.4, 5.2, 5.5, 5.7]


def test_the_effect_size_is_hedges_g_of_the_pairs() -> None:
    differences = np.subtract(ONES, OTHERS)
    cohen = differences.mean() / differences.std(ddof=1)
    # Γ(2) / (√2 Γ(3 / 2)) is 1 / (√2 · √π / 2).
    factor = 1 / (math.sqrt(2) * math.sqrt(math.pi) / 2)
    found = effects(of_seeds(ONES), of_seeds(OTHERS), True)
    assert found.size == pytest.approx(factor * cohen)


def test_the_effect_size_has_no_bias() -> None:
    draw = np.random.default_rng(0)
    base = of_seeds([0.0] * 5)
    sizes = [
        found
        for row in draw.normal(0.7, 1, (1000, 5)).tolist()
        if (found := effects(of_seeds(row), base, True).size) is not None
    ]
    assert np.mean(sizes) == pytest.approx(0.7, abs=0.06)


def test_the_sign_flip_test_is_as_sure_as_it_says() -> None:
    draw = np.random.default_rng(1)
    base = of_seeds([0.0] * 8)
    found = [
        effects(of_seeds(row), base, True).permutation_p
        for row in draw.standard_t(3, (1000, 8)).tolist()
    ]
    assert 0.03 < np.mean([p is not None and p < 0.05 for p in found]) < 0.065


@pytest.mark.parametrize("count", [3, 5, 13, 14, 30])
def test_the_sign_flip_test_is_scipys_permutation_test(count: int) -> None:
    draw = np.random.default_rng(count)
    ones, others = draw.normal(0.4, 1, count), draw.normal(size=count)
    found = effects(of_seeds(ones.tolist()), of_seeds(others.tolist()), True).permutation_p
    expected = stats.permutation_test(
        (ones, others),
        lambda one, other, axis: np.mean(one - other, axis=axis),
        permutation_type="samples",
        vectorized=True,
        rng=1,
    ).pvalue
    # Beyond 13 pairs both are drawn, each with an error of its own.
    assert found == pytest.approx(expected, abs=1e-9 if count <= 13 else 0.02)


def test_patterns_of_signs_that_tie_count() -> None:
    # In tenths, and 7 from 0 in sum:
    differences = [-1, -2, -1, 1, -4]
    patterns = [
        sum(d if bits >> place & 1 else -d for place, d in enumerate(differences))
        for bits in range(32)
    ]
    expected = sum(abs(total) >= 7 for total in patterns) / 32
    found = effects(of_seeds(ONES), of_seeds(OTHERS), True).permutation_p
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("lower_is_better", [True, False])
def test_the_probability_of_improvement_is_that_of_mann_and_whitney(lower_is_better: bool) -> None:
    ones, others = ONES[:4], OTHERS
    found = effects(of_seeds(ones), of_seeds(others), lower_is_better).improvement
    u = stats.mannwhitneyu(others, ones).statistic / 20
    assert found == pytest.approx(u if lower_is_better else 1 - u)


def test_over_data_sets_the_probability_is_the_mean_and_the_effect_pooled() -> None:
    ones = of_seeds([1.0, 2.0, 3.0], "a") | of_seeds([30.0, 30.5, 30.0], "b")
    others = of_seeds([4.0, 5.5, 6.0], "a") | of_seeds([10.0, 11.0, 10.0], "b")
    found = effects(ones, others, True)
    assert found.improvement == 0.5
    pooled = math.sqrt((np.var([-3, -3.5, -3], ddof=1) + np.var([20, 19.5, 20], ddof=1)) / 2)
    mean = (-9.5 / 3 + 59.5 / 3) / 2
    factor = 1 / (math.sqrt(2) * math.sqrt(math.pi) / 2)
    assert found.size == pytest.approx(factor * mean / pooled)


def test_what_has_no_effect_to_speak_of() -> None:
    few = effects(of_seeds([1.0, 2.0]), of_seeds([2.0, 3.0]), True)
    assert (few.size, few.improvement, few.permutation_p) == (None, 0.875, None)
    apart = effects({Replicate(1): 1.0}, {Replicate(2): 2.0}, True)
    assert (apart.size, apart.improvement) == (None, 1.0)
    constant = effects(of_seeds([1.0, 2.0, 3.0]), of_seeds([2.0, 3.0, 4.0]), True)
    assert (constant.size, constant.permutation_p) == (None, 0.25)
    infinite = effects(of_seeds([1.0, 2.0, 3.0]), of_seeds([2.0, math.inf, 4.0]), True)
    assert (infinite.size, infinite.permutation_p) == (None, None)
    folds = {Replicate(1, fold): 5.0 + fold**2 for fold in range(4)}
    others = {Replicate(1, fold): 6.0 for fold in range(4)}
    assert effects(folds, others, True).permutation_p is None
