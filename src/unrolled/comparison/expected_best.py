"""The best validation result to be expected of a search after n trials.

Dodge, Gururangan, Card, Schwartz and Smith 2019, Show your work: improved reporting of
experimental results, section 3: where n trials are drawn independently from the N that were made,
the best of them is at most v with probability F(v)^n, F being the share of trials that are at most
v; hence

    E[best of n] = sum over the distinct v of v (F(v)^n - F(<v)^n)

for a metric of which more is better, and the same with signs turned for one of which less is. The
interval is that of the same distribution: in 95 of 100 such draws, the best of n lies within it.

It is about trials drawn independently, as by a random search. A sampler that learns from earlier
trials finds good ones sooner than a random draw, so of its trials the curve is a description.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unrolled.comparison.searches import Search

_COVERED = 0.95
_FEWEST = 3
_POINTS = 200


@dataclass(frozen=True)
class ExpectedBest:
    """For each n of ``trials`` the mean of the best of n, and the interval that holds 95 % of the
    bests; every n up to as many trials as there are, of hundreds those that a curve needs."""

    trials: tuple[int, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


def expected_best(values: Sequence[float], lower_is_better: bool) -> ExpectedBest:
    """What the best of n trials comes to.

    Args:
        values: of the trials, in any order. What is not finite is a trial that failed to learn,
            and as bad as the worst that is.

    Raises:
        ValueError: no value is finite.
    """
    finite = [value for value in values if np.isfinite(value)]
    if not finite:
        raise ValueError("no trial has a finite value")
    worst = max(finite) if lower_is_better else min(finite)
    sign = -1.0 if lower_is_better else 1.0
    # As figures of which more is better, from the worst to the best.
    ordered = np.sort([sign * (v if np.isfinite(v) else worst) for v in values])
    count = len(ordered)
    trials = np.unique(np.geomspace(1, count, min(count, _POINTS)).round().astype(int))
    if count <= _POINTS:
        trials = np.arange(1, count + 1)
    # Of equal values each has its share of their common probability.
    below_or_at = (np.arange(1, count + 1) / count) ** trials[:, None]  # [n, value]
    weights = np.diff(below_or_at, axis=1, prepend=0.0)
    means = weights @ ordered

    def quantile(q: float) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
        """The least value that at least this share of the bests are at or below."""
        places = (below_or_at < q - 1e-12).sum(axis=1)
        return np.asarray(ordered[np.minimum(places, count - 1)])

    tail = (1 - _COVERED) / 2
    ends = [sign * quantile(tail), sign * quantile(1 - tail)]
    low, high = ends if sign > 0 else ends[::-1]
    numbers = (sign * means, low, high)
    return ExpectedBest(
        tuple(trials.tolist()), *(tuple(float(one) for one in column) for column in numbers)
    )


def expected_bests(searches: Sequence[Search]) -> dict[str, tuple[Search, ExpectedBest]]:
    """The curve of each search of one objective and at least a few trials, by the search's name;
    a pruned trial counts with the value it had at its end."""
    able = [
        search
        for search in searches
        if len(search.objectives) == 1
        and len(search.trials) >= _FEWEST
        and any(np.isfinite(trial.values[0]) for trial in search.trials)
    ]
    names = [search.name for search in able]
    found = {}
    for place, search in enumerate(able):
        again = names.count(search.name) > 1
        name = f"{search.name} ({names[: place + 1].count(search.name)})" if again else search.name
        values = [trial.values[0] for trial in search.trials]
        found[name] = (search, expected_best(values, search.lower_is_better[0]))
    return found
