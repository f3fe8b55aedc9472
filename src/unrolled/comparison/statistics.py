"""What the seeds say, and how sure it is: intervals, paired differences, corrected p-values.

With a handful of seeds no method is sure, so the methods here are the plain ones whose weakness is
known: a percentile bootstrap (too narrow for few seeds), Student's paired t (n - 1 degrees of
freedom), Holm's correction (Holm 1979, A simple sequentially rejective multiple test procedure).
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from unrolled.metrics.names import lower_is_better

CONFIDENCE = 0.95
NO_DIFFERENCE = "no difference shown"
_EXACT_UP_TO = 6  # seeds; 6**6 = 46,656 resamples can all be listed
_RESAMPLES = 10_000


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds and its 95 % bootstrap interval; for one seed there is none."""

    mean: float
    low: float | None
    high: float | None
    seeds: int


@dataclass(frozen=True)
class Difference:
    """A group minus the baseline, paired by seed.

    ``low`` and ``high`` are the 95 % interval of the paired t-test, not corrected; ``p`` is its
    p-value and ``p_corrected`` the one that the verdict rests on. All are None where nothing can
    be claimed, and then ``verdict`` says why.
    """

    seeds: list[int]
    mean: float | None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_corrected: float | None = None
    verdict: str = ""

    @property
    def shown(self) -> bool:
        """Whether the seeds support a difference."""
        return self.verdict in ("better", "worse")


def estimate(values: Sequence[float]) -> Estimate:
    """The mean of ``values``, one a seed, and its percentile bootstrap interval.

    For up to six seeds every resample is listed, so nothing is random; beyond, the generator is
    seeded.
    """
    data = np.asarray(values, dtype=np.float64)
    count = len(data)
    mean = float(data.mean())
    if count < 2:
        return Estimate(mean, None, None, count)
    if count <= _EXACT_UP_TO:
        means = data[np.array(list(itertools.product(range(count), repeat=count)))].mean(axis=1)
    else:
        generator = np.random.default_rng(0)
        means = np.array(
            [data[generator.integers(count, size=count)].mean() for _ in range(_RESAMPLES)]
        )
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, [tail, 1 - tail], method="inverted_cdf")
    return Estimate(mean, float(low), float(high), count)


def paired_difference(values: Mapping[int, float], baseline: Mapping[int, float]) -> Difference:
    """``values - baseline`` over the common seeds; ``with_verdicts`` gives the verdict."""
    from scipy import stats

    seeds = sorted(values.keys() & baseline.keys())
    differences = np.array([values[seed] - baseline[seed] for seed in seeds], dtype=np.float64)
    if len(seeds) < 2:
        verdict = "no seed in common" if not seeds else "one common seed: no claim"
        return Difference(seeds, float(differences[0]) if seeds else None, verdict=verdict)
    mean = float(differences.mean())
    spread = float(differences.std(ddof=1))
    size = max(abs(baseline[seed]) for seed in seeds)
    if spread <= 1e-12 * size:
        if abs(mean) <= 1e-12 * size:
            return Difference(seeds, mean, mean, mean, p=1.0)
        # Repetitions that repeat to the bit are not independent evidence, however many there are.
        return Difference(seeds, mean, verdict="the seed changes nothing: no claim")
    error = spread / math.sqrt(len(seeds))
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(seeds) - 1)) * error
    p = float(2 * stats.t.sf(abs(mean) / error, len(seeds) - 1))
    return Difference(seeds, mean, mean - half, mean + half, p)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down corrected p-values, in the order given."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected


def with_verdicts(differences: Sequence[Difference], metric: str) -> list[Difference]:
    """The differences with p corrected for their number, and a verdict each."""
    tested = [difference.p for difference in differences if difference.p is not None]
    corrected = iter(holm(tested))
    judged = []
    for difference in differences:
        if difference.p is None or difference.mean is None:
            judged.append(difference)
            continue
        p = next(corrected)
        verdict = NO_DIFFERENCE
        if p < 1 - CONFIDENCE:
            verdict = "better" if (difference.mean < 0) == lower_is_better(metric) else "worse"
        judged.append(replace(difference, p_corrected=p, verdict=verdict))
    return judged
