"""The rows of a comparison ranked over several data sets, and what the ranks say."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unrolled.comparison.formats import listed, p_value
from unrolled.comparison.rows import Row
from unrolled.comparison.statistics import NO_DIFFERENCE, SIGNIFICANCE
from unrolled.comparison.statistics.means import by_data, independent
from unrolled.comparison.statistics.ranks import rank
from unrolled.errors import RunError
from unrolled.runs.task import Metric

_NAMED = 6  # as many rows as a sentence can hold


@dataclass(frozen=True)
class RankedPair:
    """Two rows, the better ranked first; p-values as in ``RankTest``."""

    first: str
    second: str
    wilcoxon_p: float
    p_corrected: float
    nemenyi_p: float | None
    sentence: str


@dataclass(frozen=True)
class Ranking:
    """Mean ranks by label, best first, and the tests of ``Ranks``."""

    data: tuple[str, ...]
    mean_ranks: dict[str, float]
    friedman_p: float | None
    critical_difference: float | None
    pairs: tuple[RankedPair, ...]

    def of(self, label: str) -> float:
        """The mean rank of a row."""
        return self.mean_ranks[label]


def rank_rows(rows: Sequence[Row], about: Metric) -> Ranking | None:
    """The ranking of rows that are of several data sets; None for one row.

    Raises:
        RunError: there is one data set only, or a row has no run on one of them.
    """
    found = [by_data(row.by_replicate) for row in rows]
    names = sorted({name for row in found for name in row})
    if len(names) < 2:
        raise RunError(f"--across data: every run is of {names[0]}; compare it without --across")
    for row, of_row in zip(rows, found, strict=True):
        if missing := [name for name in names if name not in of_row]:
            raise RunError(
                f"--across data: {row.label} has no finished run on {listed(missing)}, and every "
                "row needs one on every data set; train what is missing, or compare fewer folders"
            )
    if len(rows) < 2:
        return None
    scores = np.array([[np.mean(independent(of_row[name])) for of_row in found] for name in names])
    ranks = rank(scores, about.lower_is_better)
    labels = [row.label for row in rows]
    pairs = []
    order = sorted(range(len(rows)), key=lambda place: (ranks.means[place], labels[place]))
    by_places = {frozenset((test.first, test.second)): test for test in ranks.tests}
    for first, second in itertools.combinations(order, 2):
        test = by_places[frozenset((first, second))]
        p = p_value(test.p_corrected)
        both = f"{labels[first]} and {labels[second]}"
        said = f"{NO_DIFFERENCE} between {both}"
        if test.p_corrected < SIGNIFICANCE:
            said = f"{labels[first]} ranks better than {labels[second]}"
        numbers = f"{ranks.means[first]:.2f} and {ranks.means[second]:.2f}"
        nemenyi = "" if test.nemenyi_p is None else f", by Nemenyi {p_value(test.nemenyi_p)}"
        sentence = (
            f"{said} over {len(names)} data sets (mean ranks {numbers}; by Wilcoxon {p}{nemenyi})"
        )
        pairs.append(
            RankedPair(
                labels[first],
                labels[second],
                test.wilcoxon_p,
                test.p_corrected,
                test.nemenyi_p,
                sentence,
            )
        )
    return Ranking(
        tuple(names),
        {labels[place]: ranks.means[place] for place in order},
        ranks.friedman_p,
        ranks.critical_difference,
        tuple(pairs),
    )


def rank_answer(ranking: Ranking, baseline: str) -> str:
    """Which row ranks best, and which others are told apart from the baseline."""
    best = next(iter(ranking.mean_ranks))
    said = []
    for pair in ranking.pairs:
        if baseline in (pair.first, pair.second):
            other = pair.second if pair.first == baseline else pair.first
            verdict = f"{NO_DIFFERENCE} ({p_value(pair.p_corrected)})"
            if pair.p_corrected < SIGNIFICANCE:
                word = "worse" if pair.first == baseline else "better"
                verdict = f"{word} ({p_value(pair.p_corrected)})"
            said.append(f"{other} {verdict}")
    more = f"; {len(said) - _NAMED} more below" if len(said) > _NAMED else ""
    friedman = "" if ranking.friedman_p is None else f"; Friedman {p_value(ranking.friedman_p)}"
    count = len(ranking.mean_ranks)
    against = "it" if baseline == best else baseline
    return (
        f"Over {len(ranking.data)} data sets {best} has the best mean rank "
        f"({ranking.mean_ranks[best]:.2f} of {count}{friedman}); against {against}, by Wilcoxon's "
        f"test: {', '.join(said[:_NAMED])}{more}."
    )
