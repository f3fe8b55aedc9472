"""What seeds and folds say, and how sure it is: intervals, paired differences, corrected p-values.

With a handful of seeds no method is sure, so the methods here are the plain ones whose weakness is
known: a percentile bootstrap (too narrow for few seeds), Student's paired t (n - 1 degrees of
freedom), Holm's correction (Holm 1979, A simple sequentially rejective multiple test procedure).

The folds of a cross-validation are no independent draws, since their models learn from mostly the
same examples. Over folds it is the corrected resampled t (Nadeau & Bengio 2003, Inference for the
generalization error, section 3.2): the variance of a mean over k folds is not s² / k but
(1 / k + n_test / n_train) s², with k - 1 degrees of freedom. The seeds of a fold are averaged
first: they share its examples, and counted as further resamples (as Bouckaert & Frank 2004 count
repetitions, which share out the examples anew) they would make it too sure again.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from unrolled.comparison.grouping import Replicate

SIGNIFICANCE = 0.05
NO_DIFFERENCE = "no difference shown"
_EXACT_UP_TO = 6  # seeds; 6**6 = 46,656 resamples can all be listed
_RESAMPLES = 10_000


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds and folds and its 95 % interval; for one value there is none, nor where a
    value is infinite.

    The interval is a bootstrap over seeds. Where there are several folds it is that of the
    corrected resampled t, and ``overlap`` the n_test / n_train that it is corrected with.
    ``folds`` is how many there are; None without cross-validation.
    """

    mean: float
    low: float | None
    high: float | None
    seeds: int
    folds: int | None = None
    overlap: float | None = None


@dataclass(frozen=True)
class Difference:
    """A group minus the baseline, paired by seed and fold.

    ``p`` is the paired t-test's p-value, or that of the corrected resampled t-test where there are
    several folds; ``overlap`` is the n_test / n_train that it is corrected with.
    ``p_corrected`` the one that the verdict rests on;
    ``low`` and ``high`` are the t interval at ``confidence``, which is corrected alike: it leaves
    0 out exactly where ``p_corrected`` is below 0.05. All are None where nothing can be claimed,
    and then ``verdict`` says why.
    """

    seeds: list[int]
    mean: float | None
    low: float | None = None
    high: float | None = None
    confidence: float | None = None
    p: float | None = None
    p_corrected: float | None = None
    verdict: str = ""
    folds: list[int] | None = None
    overlap: float | None = None

    @property
    def shown(self) -> bool:
        """Whether the seeds support a difference."""
        return self.verdict in ("better", "worse")


def estimate(values: Mapping[Replicate, float], overlap: float = 0.0) -> Estimate:
    """The mean of ``values`` and its interval: a percentile bootstrap over seeds, or, over several
    folds, that of the corrected resampled t.

    For up to six seeds every resample is listed, which is exact, where ``scipy.stats.bootstrap``
    would draw some of them; beyond, that function draws, from a fixed seed.

    Args:
        overlap: n_test / n_train of a fold.
    """
    seeds = len({seed for seed, _ in values})
    folds = len(_folds(values)) or None
    data = np.asarray([*values.values()], dtype=np.float64)
    count = len(data)
    if not np.isfinite(data).all():
        # Infinity of one sign is a mean, and of both signs none.
        mean = sum(values.values())
        return Estimate(math.inf if math.isnan(mean) else mean, None, None, seeds, folds)
    if folds is not None and folds > 1:
        resampled = _Resampled.of(values, overlap)
        low, high = resampled.interval(1 - SIGNIFICANCE)
        return Estimate(resampled.mean, low, high, seeds, folds, overlap)
    mean = float(data.mean())
    if count < 2:
        return Estimate(mean, None, None, seeds, folds)
    if count <= _EXACT_UP_TO:
        tail = SIGNIFICANCE / 2
        means = data[_resamples(count)].mean(axis=1)
        low, high = np.quantile(means, [tail, 1 - tail], method="inverted_cdf")
    else:
        from scipy import stats

        low, high = stats.bootstrap(
            (data,),
            np.mean,
            confidence_level=1 - SIGNIFICANCE,
            n_resamples=_RESAMPLES,
            method="percentile",
            rng=0,
        ).confidence_interval
    return Estimate(mean, float(low), float(high), seeds, folds)


@lru_cache
def _resamples(count: int) -> NDArray[np.int64]:
    """Every draw of ``count`` from ``count`` with replacement."""
    return np.array(list(itertools.product(range(count), repeat=count)), dtype=np.int64)


def paired_differences(
    groups: Sequence[Mapping[Replicate, float] | str],
    baseline: Mapping[Replicate, float],
    lower_is_better: bool,
    overlap: float = 0.0,
) -> list[Difference]:
    """Each group's values minus the baseline's, over their common seeds and folds, with a verdict.

    P-values are corrected for the number of groups tested, and intervals alike.

    Args:
        groups: in place of values, a reason why a group has no difference, which is its verdict.
        overlap: n_test / n_train of a fold.
    """
    tests = [_test(group, baseline, overlap) for group in groups]
    corrections = iter(holm([test.p for _, test in tests if test is not None]))
    return [
        untested if test is None else _decided(untested, test, *next(corrections), lower_is_better)
        for untested, test in tests
    ]


def holm(p_values: Sequence[float]) -> list[tuple[float, float]]:
    """Holm's step-down corrected p-values, in the order given, and for each the significance level
    at which the procedure decides about it.

    That is 0.05 / m for the smallest of m p-values, 0.05 / (m - 1) for the next, until one is not
    below its level: all from there on are decided at that level. So an interval of confidence
    1 - level leaves 0 out exactly where the corrected p-value is below 0.05.
    """
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    corrected = [(0.0, 0.0)] * len(p_values)
    largest, level, rejecting = 0.0, SIGNIFICANCE, True
    for rank, index in enumerate(order):
        left = len(p_values) - rank
        largest = max(largest, min(1.0, left * p_values[index]))
        if rejecting:
            level = SIGNIFICANCE / left
            rejecting = largest < SIGNIFICANCE
        corrected[index] = (largest, level)
    return corrected


@dataclass(frozen=True)
class _Test:
    """A p-value, and the interval at a confidence that belongs to it."""

    p: float
    interval: Callable[[float], tuple[float, float]]


@dataclass(frozen=True)
class _Resampled:
    """The corrected resampled t of a mean over folds.

    Attributes:
        mean: of the folds' means.
        error: the standard error of ``mean``.
        freedom: the degrees of freedom.
    """

    mean: float
    error: float
    freedom: int

    @classmethod
    def of(cls, values: Mapping[Replicate, float], overlap: float) -> "_Resampled":
        by_fold: dict[int | None, list[float]] = {}
        for (_, fold), value in values.items():
            by_fold.setdefault(fold, []).append(value)
        means = np.array([np.mean(of_fold) for of_fold in by_fold.values()])
        variance = (1 / len(means) + overlap) * means.var(ddof=1)
        return cls(float(means.mean()), math.sqrt(variance), len(means) - 1)

    @property
    def p(self) -> float:
        """The p-value of a mean of 0."""
        from scipy import stats

        return float(2 * stats.t.sf(abs(self.mean) / self.error, self.freedom))

    def interval(self, confidence: float) -> tuple[float, float]:
        """The interval of the mean at a confidence."""
        from scipy import stats

        half = float(stats.t.ppf((1 + confidence) / 2, self.freedom)) * self.error
        return self.mean - half, self.mean + half


def _folds(values: Iterable[Replicate]) -> list[int]:
    """The folds among some replicates; none where there is no cross-validation."""
    return sorted({fold for _, fold in values if fold is not None})


def _test(
    group: Mapping[Replicate, float] | str, baseline: Mapping[Replicate, float], overlap: float
) -> tuple[Difference, _Test | None]:
    """The difference as far as it needs no test, and the test; None where there is none."""
    if isinstance(group, str):
        return Difference([], None, verdict=group), None
    pairs = sorted(group.keys() & baseline.keys(), key=lambda pair: pair.order)
    ones, others = [group[pair] for pair in pairs], [baseline[pair] for pair in pairs]
    folds = _folds(pairs)
    word = "seed and fold" if _folds(baseline) else "seed"
    seeds = list(dict.fromkeys(seed for seed, _ in pairs))
    untested = Difference(seeds, None, folds=folds or None)
    if not pairs:
        return replace(untested, verdict=f"no {word} in common"), None
    if not all(map(math.isfinite, (*ones, *others))):
        mean = sum(ones) - sum(others)
        known = None if math.isnan(mean) else mean
        return replace(untested, mean=known, verdict="infinite: no claim"), None
    differences = np.subtract(ones, others)
    if len(folds) > 1:
        resampled = _Resampled.of(dict(zip(pairs, differences.tolist(), strict=True)), overlap)
        untested = replace(untested, overlap=overlap)
        mean, varies = resampled.mean, resampled.error
    else:
        resampled = None
        mean = float(differences.mean())
        varies = float(differences.std(ddof=1)) if len(pairs) > 1 else 0.0
    untested = replace(untested, mean=mean)
    if len(pairs) < 2:
        return replace(untested, verdict=f"one common {word}: no claim"), None
    size = max(map(abs, others))
    if varies > 1e-12 * size:
        if resampled is not None:
            return untested, _Test(resampled.p, resampled.interval)
        from scipy import stats

        result = stats.ttest_rel(ones, others)
        return untested, _Test(float(result.pvalue), result.confidence_interval)
    if abs(mean) <= 1e-12 * size:
        return untested, _Test(1.0, lambda _: (mean, mean))
    # Repetitions that repeat to the bit are not independent evidence, however many there are.
    word = "seed" if resampled is None else "fold"
    return replace(untested, verdict=f"the {word} changes nothing: no claim"), None


def _decided(
    difference: Difference, test: _Test, p_corrected: float, level: float, lower_is_better: bool
) -> Difference:
    """The difference with its verdict and its interval, at the level at which it is decided."""
    assert difference.mean is not None
    verdict = NO_DIFFERENCE
    if p_corrected < SIGNIFICANCE:
        verdict = "better" if (difference.mean < 0) == lower_is_better else "worse"
    low, high = test.interval(1 - level)
    return replace(
        difference,
        low=float(low),
        high=float(high),
        confidence=1 - level,
        p=test.p,
        p_corrected=p_corrected,
        verdict=verdict,
    )
