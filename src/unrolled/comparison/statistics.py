"""What the seeds say, and how sure it is: intervals, paired differences, corrected p-values.

With a handful of seeds no method is sure, so the methods here are the plain ones whose weakness is
known: a percentile bootstrap (too narrow for few seeds), Student's paired t (n - 1 degrees of
freedom), Holm's correction (Holm 1979, A simple sequentially rejective multiple test procedure).
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

SIGNIFICANCE = 0.05
NO_DIFFERENCE = "no difference shown"
_EXACT_UP_TO = 6  # seeds; 6**6 = 46,656 resamples can all be listed
_RESAMPLES = 10_000


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds and its 95 % bootstrap interval; for one seed there is none, nor where a
    value is infinite."""

    mean: float
    low: float | None
    high: float | None
    seeds: int


@dataclass(frozen=True)
class Difference:
    """A group minus the baseline, paired by seed.

    ``p`` is the paired t-test's p-value, ``p_corrected`` the one that the verdict rests on;
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

    @property
    def shown(self) -> bool:
        """Whether the seeds support a difference."""
        return self.verdict in ("better", "worse")


def estimate(values: Sequence[float]) -> Estimate:
    """The mean of ``values``, one a seed, and its percentile bootstrap interval.

    For up to six seeds every resample is listed, which is exact, where ``scipy.stats.bootstrap``
    would draw some of them; beyond, that function draws, from a fixed seed.
    """
    data = np.asarray(values, dtype=np.float64)
    count = len(data)
    if not np.isfinite(data).all():
        # Infinity of one sign is a mean, and of both signs none.
        mean = sum(values)
        return Estimate(math.inf if math.isnan(mean) else mean, None, None, count)
    mean = float(data.mean())
    if count < 2:
        return Estimate(mean, None, None, count)
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
    return Estimate(mean, float(low), float(high), count)


@lru_cache
def _resamples(count: int) -> NDArray[np.int64]:
    """Every draw of ``count`` from ``count`` with replacement."""
    return np.array(list(itertools.product(range(count), repeat=count)), dtype=np.int64)


def paired_differences(
    groups: Sequence[Mapping[int, float] | str],
    baseline: Mapping[int, float],
    lower_is_better: bool,
) -> list[Difference]:
    """Each group's values by seed minus the baseline's, over their common seeds, with a verdict.

    P-values are corrected for the number of groups tested, and intervals alike.

    Args:
        groups: in place of values, a reason why a group has no difference, which is its verdict.
    """
    tests = [_test(group, baseline) for group in groups]
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


def _test(
    group: Mapping[int, float] | str, baseline: Mapping[int, float]
) -> tuple[Difference, _Test | None]:
    """The difference as far as it needs no test, and the test; None where there is none."""
    if isinstance(group, str):
        return Difference([], None, verdict=group), None
    seeds = sorted(group.keys() & baseline.keys())
    ones, others = [group[seed] for seed in seeds], [baseline[seed] for seed in seeds]
    if not seeds:
        return Difference(seeds, None, verdict="no seed in common"), None
    if not all(map(math.isfinite, (*ones, *others))):
        mean = sum(ones) - sum(others)
        known = None if math.isnan(mean) else mean
        return Difference(seeds, known, verdict="infinite: no claim"), None
    differences = np.subtract(ones, others)
    mean = float(differences.mean())
    if len(seeds) < 2:
        return Difference(seeds, mean, verdict="one common seed: no claim"), None
    size = max(map(abs, others))
    if float(differences.std(ddof=1)) > 1e-12 * size:
        from scipy import stats

        result = stats.ttest_rel(ones, others)
        return Difference(seeds, mean), _Test(float(result.pvalue), result.confidence_interval)
    if abs(mean) <= 1e-12 * size:
        return Difference(seeds, mean), _Test(1.0, lambda _: (mean, mean))
    # Repetitions that repeat to the bit are not independent evidence, however many there are.
    return Difference(seeds, mean, verdict="the seed changes nothing: no claim"), None


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
