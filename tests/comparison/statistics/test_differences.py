import itertools
import math
import random
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from unrolled.comparison.grouping import Replicate
from unrolled.comparison.statistics import (
    NO_DIFFERENCE,
    Difference,
    Margin,
    estimate,
    paired_differences,
)
from unrolled.comparison.statistics.corrections import holm

Values = dict[int, float]
BASELINE = {1: 5.0, 2: 5.2, 3: 5.1, 4: 5.3}


def compare_one(values: dict[int, float], baseline: dict[int, float]) -> Difference:
    (difference,) = by_seed([values], baseline)
    return difference


def of_seeds(values: Values) -> dict[Replicate, float]:
    return {Replicate(seed): value for seed, value in values.items()}


def by_seed(
    groups: Sequence[Values | str], baseline: Values, lower_is_better: bool = True
) -> list[Difference]:
    """The differences of runs without folds."""
    base = of_seeds(baseline)
    pairs = [group if isinstance(group, str) else (of_seeds(group), base) for group in groups]
    return paired_differences(pairs, lower_is_better)


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


def test_fewer_than_three_common_seeds_claim_nothing() -> None:
    one, none = by_seed([{1: 5.0, 2: 6.0}, {2: 5.0}], {1: 1.0, 3: 1.0})
    (two,) = by_seed([{1: 5.0, 2: 5.0001}], {1: 1.0, 2: 1.0})
    assert two.verdict == "two common seeds: no claim"
    assert two.mean == pytest.approx(4.00005)
    assert two.p is two.low is None
    assert not two.shown
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
    equal = compare_one({1: 5.0, 2: 6.0, 3: 7.0}, {1: 5.0, 2: 6.0, 3: 7.0})
    assert not constant.shown
    assert constant.p_corrected is None
    assert equal.verdict == NO_DIFFERENCE
    assert (equal.low, equal.high) == (0.0, 0.0)


def test_a_reason_against_a_difference_is_its_verdict_and_counts_for_no_correction() -> None:
    values = {seed: value + 0.1 + seed / 1000 for seed, value in BASELINE.items()}
    other, tested = by_seed(["other data", values], BASELINE)
    assert (other.mean, other.verdict) == (None, "other data")
    assert tested.p == tested.p_corrected


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
    for difference in by_seed(groups, baseline):
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
    (alone,) = by_seed([values], BASELINE)
    among = by_seed([values, other, other], BASELINE)[0]
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
    (difference,) = by_seed([values], BASELINE, lower_is_better)
    assert difference.verdict == verdict


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


def test_the_difference_over_folds_is_the_corrected_resampled_t_by_hand() -> None:
    values = of_folds([level + shift for level, shift in zip(LEVEL, SHIFTS, strict=True)])
    (result,) = paired_differences([(values, of_folds(LEVEL))], False, overlap=0.25)
    assert result.mean == pytest.approx(0.03)
    assert result.p == pytest.approx(0.1161, abs=5e-5)
    assert result.low == pytest.approx(0.03 - 2.776 * 0.015, abs=5e-5)
    assert result.high == pytest.approx(0.03 + 2.776 * 0.015, abs=5e-5)
    assert result.verdict == NO_DIFFERENCE
    assert (result.seeds, result.folds, result.overlap) == ([0], [0, 1, 2, 3, 4], 0.25)
    # Without the correction t is 3, and the difference would be called shown.
    (too_sure,) = paired_differences([(values, of_folds(LEVEL))], False)
    assert too_sure.p == pytest.approx(0.0399, abs=5e-5)
    assert too_sure.verdict == "better"


def test_pairs_are_matched_by_seed_and_fold() -> None:
    base = of_folds([1.0, 2.0, 3.0], [1.1, 2.1, 3.1])
    values = {
        Replicate(0, 1): 2.5, Replicate(0, 2): 3.6, Replicate(1, 2): 3.5, Replicate(7, 0): 99.0,
        Replicate(1, 0): 1.2,
    }  # fmt: skip
    (result,) = paired_differences([(values, base)], True, 0.5)
    # Fold 0: 0.1; fold 1: 0.5; fold 2: the mean of 0.6 and 0.4.
    assert result.mean == pytest.approx(1.1 / 3)
    assert (result.seeds, result.folds) == ([0, 1], [0, 1, 2])
    two = {one: value for one, value in values.items() if one.fold != 0}
    (few,) = paired_differences([(two, base)], True, 0.5)
    assert few.verdict == "two common folds: no claim"
    one, none = paired_differences(
        [({Replicate(0, 1): 2.0}, base), ({Replicate(9, 1): 2.0}, base)], True
    )
    assert (one.verdict, none.verdict) == (
        "one common seed and fold: no claim",
        "no seed and fold in common",
    )


def test_the_seeds_of_a_single_fold_are_seeds_as_ever() -> None:
    of_one = {Replicate(seed, 2): value for seed, value in BASELINE.items()}
    shift = {1: 0.05, 2: 0.25, 3: 0.30, 4: 0.20}
    values = {Replicate(seed, 2): BASELINE[seed] + by for seed, by in shift.items()}
    (result,) = paired_differences([(values, of_one)], True, 0.25)
    ever = compare_one({seed: BASELINE[seed] + by for seed, by in shift.items()}, BASELINE)
    assert (result.p, result.low, result.overlap) == (ever.p, ever.low, None)
    estimated = estimate(of_one, 0.25)
    assert (estimated.low, estimated.overlap) == (estimate(of_seeds(BASELINE)).low, None)


def test_folds_that_differ_in_nothing_are_no_evidence() -> None:
    base, above = of_folds([1.0, 2.0, 3.0]), of_folds([1.5, 2.5, 3.5])
    (constant,) = paired_differences([(above, base)], True, 0.5)
    assert constant.verdict == "the fold changes nothing: no claim"
    assert constant.p is None


def test_the_plain_t_test_rejects_a_true_null_far_too_often_over_folds_and_this_one_does_not() -> (
    None
):
    """Two classifiers that are equally good in the population, cross-validated on small samples.

    Each puts the threshold between the classes' means of a feature of its own, both features of
    the same distribution, as estimated from a share of the training examples that a seed draws.
    """
    draw = np.random.default_rng(0)
    examples, folds, seeds, samples = 40, 5, 5, 300
    rejected = {"plain": 0, "corrected": 0}
    labels = np.arange(examples) % 2
    for _ in range(samples):
        features = draw.normal(size=(examples, 2)) + 0.35 * (2 * labels - 1)[:, None]
        scores: tuple[dict[Replicate, float], ...] = ({}, {})
        parts = np.array_split(draw.permutation(examples), folds)
        for fold, held in enumerate(parts):
            kept = np.concatenate([part for part in parts if part is not held])
            for seed in range(seeds):
                for which, score in enumerate(scores):
                    drawn = draw.choice(kept, 8)
                    means = [features[drawn[labels[drawn] == k], which] for k in (0, 1)]
                    low, high = (float(m.mean()) if len(m) else 0.0 for m in means)
                    above = features[held, which] > (low + high) / 2
                    right = above == labels[held] if high > low else above != labels[held]
                    score[Replicate(seed, fold)] = float(right.mean())
        plain = stats.ttest_rel([*scores[0].values()], [*scores[1].values()])
        (corrected,) = paired_differences([(scores[0], scores[1])], False, 1 / (folds - 1))
        assert corrected.p is not None
        rejected["plain"] += plain.pvalue < 0.05
        rejected["corrected"] += corrected.p < 0.05
    assert rejected["plain"] / samples > 0.2
    assert rejected["corrected"] / samples < 0.07


def p_of_every_pair(cells: int, seeds: int, studies: int) -> NDArray[np.float64]:
    """For studies of equal cells the p-value of each pair; the first of a pair is the lower."""
    draw = np.random.default_rng(cells)
    values = draw.normal(size=(studies, cells, seeds))
    order = values.mean(axis=2).argsort(axis=1)
    values = np.take_along_axis(values, order[:, :, None], axis=1)
    first, second = np.triu_indices(cells, 1)
    p: NDArray[np.float64] = stats.ttest_rel(values[:, first], values[:, second], axis=2).pvalue
    return p


@pytest.mark.parametrize(("cells", "studies"), [(3, 20_000), (21, 2_000)])
def test_of_equal_cells_the_data_show_a_difference_in_at_most_5_percent(
    cells: int, studies: int
) -> None:
    p_values = p_of_every_pair(cells, 5, studies)
    all_pairs = sum(min(p for p, _ in holm(study)) < 0.05 for study in p_values.tolist())
    assert stats.binomtest(all_pairs, studies, 0.05, "greater").pvalue > 0.01
    # The pairs with the best come first: corrected as if it had been named, they are too sure.
    with_best = (p_values[:, : cells - 1].min(axis=1) * (cells - 1) < 0.05).sum()
    assert stats.binomtest(with_best, studies, 0.05, "greater").pvalue < 0.001


def test_the_simulated_p_are_those_of_the_differences() -> None:
    draw = np.random.default_rng(5)
    rows = [of_seeds(dict(enumerate(row))) for row in draw.normal(size=(5, 4)).tolist()]
    pairs = [(second, first) for first, second in itertools.combinations(rows, 2)]
    found = paired_differences(pairs, True)
    expected = [
        stats.ttest_rel([*second.values()], [*first.values()]).pvalue for second, first in pairs
    ]
    assert [one.p for one in found] == pytest.approx(expected)
    corrected = [p for p, _ in holm(expected)]
    assert [one.p_corrected for one in found] == pytest.approx(corrected)


def test_what_the_seeds_could_have_shown() -> None:
    """A mean of the same spread is shown just above that size, and not just below it."""
    noise = dict(enumerate([0.3, -0.2, 0.1, -0.2]))
    level = dict.fromkeys(noise, 5.0)

    def shifted(by: float) -> Difference:
        return compare_one({seed: 5 + by + value for seed, value in noise.items()}, level)

    size = shifted(0.0).smallest_shown
    assert size is not None
    assert shifted(0.999 * size).verdict == NO_DIFFERENCE
    assert shifted(1.001 * size).verdict == "worse"
    assert shifted(1.001 * size).seeds_needed is None


def test_as_many_seeds_as_it_says_would_show_the_difference_with_80_percent() -> None:
    noise = dict(enumerate([0.3, -0.2, 0.1, -0.2]))
    level = dict.fromkeys(noise, 5.0)
    found = compare_one({seed: 5.2 + value for seed, value in noise.items()}, level)
    assert found.verdict == NO_DIFFERENCE
    assert found.seeds_needed is not None
    spread = np.std([*noise.values()], ddof=1)
    draws = np.random.default_rng(0).normal(0.2, spread, (20_000, found.seeds_needed))
    shown = stats.ttest_1samp(draws, 0, axis=1).pvalue < 0.05
    assert 0.79 < shown.mean() < 0.9
    fewer = stats.ttest_1samp(draws[:, :-1], 0, axis=1).pvalue < 0.05
    assert fewer.mean() < 0.805


def test_over_data_sets_each_weighs_the_same_and_needs_three_pairs() -> None:
    base = {
        Replicate(seed, None, data): level + seed
        for data, level in (("a", 5.0), ("b", 50.0))
        for seed in range(4)
    }
    shifts = {"a": [0.1, 0.2, 0.3, 0.2], "b": [1.0, 1.4, 1.2]}
    values = {
        Replicate(seed, None, data): base[Replicate(seed, None, data)] + shift
        for data, of_data in shifts.items()
        for seed, shift in enumerate(of_data)
    }
    (found,) = paired_differences([(values, base)], True)
    assert found.mean == pytest.approx((0.2 + 1.2) / 2)
    welch = stats.ttest_ind(shifts["a"], [-one for one in shifts["b"]], equal_var=False)
    assert found.p == pytest.approx(welch.pvalue)
    assert found.seeds_needed is None
    del values[Replicate(2, None, "b")]
    (few,) = paired_differences([(values, base)], True)
    assert few.verdict == "two common seeds: no claim"


@pytest.mark.parametrize(("text", "within"), [("0.1", 0.1), ("2%", 0.02 * 5.15), ("100%", 5.15)])
def test_the_probability_of_a_difference_that_makes_none(text: str, within: float) -> None:
    shift = {1: 0.05, 2: -0.02, 3: 0.08, 4: 0.04}
    group = of_seeds({seed: BASELINE[seed] + by for seed, by in shift.items()})
    pair = (group, of_seeds(BASELINE))
    (found,) = paired_differences([pair], True, margin=Margin.of(text))
    values = np.array([*shift.values()])
    posterior = stats.t(3, values.mean(), values.std(ddof=1) / 2)
    assert found.within == pytest.approx(posterior.cdf(within) - posterior.cdf(-within))


def test_over_folds_the_posterior_has_the_corrected_variance() -> None:
    values = of_folds([level + shift for level, shift in zip(LEVEL, SHIFTS, strict=True)])
    margin = Margin.of("0.03")
    (found,) = paired_differences([(values, of_folds(LEVEL))], False, 0.25, margin)
    posterior = stats.t(4, 0.03, 0.015)
    assert found.within == pytest.approx(posterior.cdf(0.03) - posterior.cdf(-0.03))


def test_rows_that_are_equal_in_every_run_are_equivalent() -> None:
    pair = (of_seeds(BASELINE), of_seeds(BASELINE))
    (found,) = paired_differences([pair], True, margin=Margin.of("0.001"))
    assert (found.within, found.seeds_needed, found.smallest_shown) == (1.0, None, 0.0)
