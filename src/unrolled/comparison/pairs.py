"""Every pair of rows that is looked at: its difference, and what it says in one sentence."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from unrolled.comparison.formats import Figures, p_value, percent
from unrolled.comparison.metrics import incomparable, metric_in_words
from unrolled.comparison.rows import Row, overlap
from unrolled.comparison.statistics import Difference, Margin, paired_differences
from unrolled.runs.task import Metric

# Of more rows than this, the best is compared with each other row and no others with each other.
MOST_ROWS = 60


@dataclass(frozen=True)
class Pair:
    """Two rows by their labels; ``difference`` is the second's values minus the first's."""

    first: str
    second: str
    difference: Difference
    sentence: str


def compare_pairs(
    rows: Sequence[Row], named: Row | None, metric: str, about: Metric, margin: Margin | None
) -> tuple[Pair, ...]:
    """The differences that are looked at, corrected together.

    Args:
        rows: best first.
        named: the baseline, where it was named beforehand: the pairs are the others with it.
            None: the data chose the baseline, which looked at every pair.
    """
    untested = 0
    if named is not None:
        pairs = [(named, row) for row in rows if row is not named]
    elif len(rows) <= MOST_ROWS:
        pairs = list(itertools.combinations(rows, 2))
    else:
        pairs = [(rows[0], row) for row in rows[1:]]
        untested = len(rows) * (len(rows) - 1) // 2 - len(pairs)
    values = [
        why_incomparable(second, first, about) or (second.by_replicate, first.by_replicate)
        for first, second in pairs
    ]
    share = overlap(rows[0].runs if named is None else named.runs, metric)
    found = paired_differences(values, about.lower_is_better, share, margin, untested)
    figures = Figures.of(about, [row.value for row in rows])
    return tuple(
        Pair(
            first.label,
            second.label,
            difference,
            _sentence(first, second, difference, figures, metric, about, margin),
        )
        for (first, second), difference in zip(pairs, found, strict=True)
    )


def why_incomparable(row: Row, base: Row, about: Metric) -> str | None:
    """Why two rows' figures must not be subtracted; None where they may."""
    of_base = {run.data: run.record for run in reversed(base.runs)}
    for data, record in {run.data: run.record for run in reversed(row.runs)}.items():
        if data in of_base and (reason := incomparable(record, of_base[data], about)):
            return reason
    return None


def _sentence(
    first: Row,
    second: Row,
    difference: Difference,
    figures: Figures,
    metric: str,
    about: Metric,
    margin: Margin | None,
) -> str:
    """What the pair says, the better row first."""
    name = metric_in_words(metric)
    unit = f"{name} ({about.unit})" if about.unit else name
    if any(run.data for run in first.runs):
        unit += " in the mean over these data sets"
    both = f"{first.label} and {second.label}"
    low, high = difference.low, difference.high
    if low is None or high is None or difference.p_corrected is None or difference.mean is None:
        return f"nothing is claimed of {both}: {difference.verdict.removesuffix(': no claim')}"
    better, worse = first.label, second.label
    if (difference.mean < 0) == about.lower_is_better:
        better, worse = worse, better
    if difference.shown:
        least, most = (figures.number(size) for size in sorted((abs(low), abs(high))))
        said = (
            f"{better} is better than {worse} by {least} to {most} {unit}, "
            f"{p_value(difference.p_corrected)}"
        )
    else:
        said = f"no difference shown between {both}: {_cannot_show(difference, figures)}"
    if difference.within is not None and margin is not None:
        how = f"{margin.text} of {first.label}" if margin.relative else margin.text
        of = second.label if margin.relative else "they"
        verb = "is within" if margin.relative else "differ by at most"
        said += f"; {of} {verb} {how} with probability {percent(difference.within)}"
    return said


def _cannot_show(difference: Difference, figures: Figures) -> str:
    if not difference.smallest_shown:
        return "they are equal in every run"
    runs = f"{len(difference.seeds)} seeds"
    if difference.overlap is not None:
        runs = f"{len(difference.folds or ())} folds"
    said = f"{runs} cannot show less than {figures.number(difference.smallest_shown)}"
    if difference.seeds_needed is not None and difference.mean is not None:
        seen = figures.number(abs(difference.mean))
        needed = f"{difference.seeds_needed:,} seeds"
        said += f", and some {needed} would show the {seen} seen with 80 % power"
    return said
