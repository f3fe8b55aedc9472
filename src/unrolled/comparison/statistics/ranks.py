"""Ranks over several data sets, as Demšar 2006 (Statistical comparisons of classifiers over
multiple data sets) compares them."""

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unrolled.comparison.statistics.corrections import SIGNIFICANCE, holm


@dataclass(frozen=True)
class RankTest:
    """Two rows over all data sets, by their places; p-values are two-sided.

    Attributes:
        wilcoxon_p: of the signed-rank test.
        p_corrected: the same by Holm for all pairs.
        nemenyi_p: of Nemenyi's test, which is corrected for all pairs; None for two rows.
    """

    first: int
    second: int
    wilcoxon_p: float
    p_corrected: float
    nemenyi_p: float | None


@dataclass(frozen=True)
class Ranks:
    """Mean ranks, 1 the best.

    Attributes:
        friedman_p: that all rows are alike; None for two rows, of which there is Wilcoxon's test.
        critical_difference: of mean ranks, from which on Nemenyi's test tells rows apart at 5 %.
    """

    means: tuple[float, ...]
    friedman_p: float | None
    critical_difference: float | None
    tests: tuple[RankTest, ...]


def rank(scores: NDArray[np.float64], lower_is_better: bool) -> Ranks:
    """Rank rows on each data set and test whether they differ.

    Args:
        scores: data sets x rows, at least two of each; the mean over seeds. Infinity is worst.
    """
    from scipy import stats

    count, rows = scores.shape
    signed = scores if lower_is_better else -scores
    means = stats.rankdata(signed, axis=1).mean(axis=0)
    error = math.sqrt(rows * (rows + 1) / (6 * count))
    friedman = critical = None
    if rows > 2:
        # Where all rows tie everywhere the statistic is 0 / 0.
        with np.errstate(invalid="ignore"):
            friedman = float(stats.friedmanchisquare(*signed.T).pvalue)
        friedman = 1.0 if math.isnan(friedman) else friedman
        quantile = stats.studentized_range.ppf(1 - SIGNIFICANCE, rows, math.inf)
        critical = float(quantile) / math.sqrt(2) * error
    pairs = list(itertools.combinations(range(rows), 2))
    p_values = [_wilcoxon(signed[:, one], signed[:, other]) for one, other in pairs]
    apart = np.array([abs(means[one] - means[other]) for one, other in pairs])
    nemenyi = stats.studentized_range.sf(apart / error * math.sqrt(2), rows, math.inf)
    corrected = [p for p, _ in holm(p_values)]
    return Ranks(
        tuple(means.tolist()),
        friedman,
        critical,
        tuple(
            RankTest(one, other, p, p_corrected, float(of_ranks) if rows > 2 else None)
            for (one, other), p, p_corrected, of_ranks in zip(
                pairs, p_values, corrected, nemenyi, strict=True
            )
        ),
    )


def _wilcoxon(ones: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    """Two-sided, exact for few data sets, with ties too."""
    from scipy import stats

    equal = ones == others  # infinity on both sides included
    differences = np.where(equal, 0.0, ones - np.where(equal, 0.0, others))
    differences = differences[~equal]
    if not len(differences):
        return 1.0
    tied = len(np.unique(np.abs(differences))) < len(differences)
    exact = stats.PermutationMethod(n_resamples=9_999, rng=0)
    return float(stats.wilcoxon(differences, method=exact if tied else "auto").pvalue)
