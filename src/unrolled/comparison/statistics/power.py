"""What a number of pairs can show at all, and how many would show a difference."""

import math
from bisect import bisect_left
from functools import cache

import numpy as np
from numpy.typing import NDArray

from unrolled.comparison.statistics.corrections import SIGNIFICANCE

POWER = 0.8
LEAST_PAIRS = 3
MOST_PAIRS = 1000
_PARTS = 200  # of equal probability, over which the spread of the pairs is integrated


def least_p(pairs: int) -> float:
    """The smallest two-sided p-value of a sign-flip or of Wilcoxon's signed-rank test: 2 of 2^n
    patterns of signs are as extreme as can be."""
    return min(1.0, 2.0 ** (1 - pairs))


def pairs_for_ranks(comparisons: int) -> int:
    """The fewest pairs with which such a test can be significant among so many comparisons that
    are corrected together: 6 for one, 10 for 20, 14 for 210 (21 rows against one another)."""
    pairs = 1
    while comparisons * least_p(pairs) >= SIGNIFICANCE:
        pairs += 1
    return pairs


def pairs_for(effect: float, level: float) -> int | None:
    """The fewest pairs with which a paired t-test shows a difference with a probability of 80 %.

    Args:
        effect: the difference, by the standard deviation of the paired differences.
        level: of significance.

    Returns:
        None where 1,000 pairs are too few.
    """
    numbers = range(LEAST_PAIRS, MOST_PAIRS + 1)
    place = bisect_left(numbers, POWER, key=lambda pairs: power(pairs, effect, level))
    return numbers[place] if place < len(numbers) else None


def power(pairs: int, effect: float, level: float) -> float:
    """The probability that a two-sided paired t-test of ``pairs`` shows ``effect``.

    t is then noncentral: (Z + effect √n) / √(V / f) with Z normal and V chi-squared of f = n - 1
    degrees. The tail of that is integrated over V here, since SciPy's has no value for some of the
    large effects that few pairs can have.
    """
    from scipy.special import ndtr, stdtrit

    freedom = pairs - 1
    critical = float(stdtrit(freedom, 1 - level / 2))
    centre = abs(effect) * math.sqrt(pairs)
    bounds = critical * _spreads(freedom)
    return float(np.mean(ndtr(centre - bounds) + ndtr(-centre - bounds)))


@cache
def _spreads(freedom: int) -> NDArray[np.float64]:
    """The quantiles of √(V / f)."""
    from scipy.special import chdtri

    shares = (np.arange(_PARTS) + 0.5) / _PARTS
    spreads: NDArray[np.float64] = np.sqrt(chdtri(freedom, shares) / freedom)
    return spreads
