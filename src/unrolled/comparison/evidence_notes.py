"""The sentences below a table that name its statistics, and say what they cannot show."""

from collections.abc import Iterable

from unrolled.comparison.formats import listed
from unrolled.comparison.metrics import folds_of
from unrolled.comparison.pairs import MOST_ROWS
from unrolled.comparison.results import Comparison, Note
from unrolled.comparison.rows import Row
from unrolled.comparison.statistics.power import least_p, pairs_for_ranks

FEW_SEEDS = 5


def evidence_notes(comparison: Comparison) -> Iterable[Note]:
    """What intervals, tests and ranks there are, in the order in which a reader meets them."""
    for found in (_ranks, _baseline, _seeds, _too_few_pairs, _margin, _folds):
        yield from found(comparison)


def _baseline(comparison: Comparison) -> Iterable[Note]:
    if len(comparison.rows) < 2:
        return
    what = "the best row here" if comparison.baseline_is_best else "as asked"
    if comparison.baseline_is_best and comparison.no_headline is not None:
        what = "the first row"
    levels = [
        row.difference.confidence
        for row in comparison.rows
        if row.difference is not None and row.difference.confidence is not None
    ]
    confidence = " to ".join(dict.fromkeys(f"{100 * f(levels):.3g}" for f in (min, max) if levels))
    folds = any(row.folds for row in comparison.rows)
    paired = "paired by seed and fold" if folds else "paired by seed"
    test = "a paired t-test"
    if any(row.difference and row.difference.overlap is not None for row in comparison.rows):
        test = "the corrected resampled t-test (Nadeau and Bengio 2003) over folds"
    if not levels:
        few = "seeds and folds" if folds else "seeds"
        how = f"{paired}; too few {few} in common for an interval or a claim"
    elif _comparisons(comparison) == 1:
        how = f"{paired}, with the {confidence} % interval of {test}"
    else:
        count = _comparisons(comparison)
        pairs = f"{count} comparisons"
        if count > len(levels):
            pairs = f"all {count} pairs of rows, since the data chose the baseline"
        how = (
            f"{paired}, with the interval of {test}; p is corrected (Holm) for {pairs}, and an "
            f"interval has the confidence at which that correction decides its row ({confidence} "
            "%), so it leaves 0 out exactly where p is below 0.05"
        )
    yield Note(
        f"Differences in {comparison.metric} are to {comparison.baseline} ({what}; --baseline "
        f"names another), {how}."
    )


def _seeds(comparison: Comparison) -> Iterable[Note]:
    rows = [row for row in comparison.rows if len(row.folds or ()) < 2]
    single = [row.label for row in rows if row.value.seeds == 1]
    few = [row.label for row in rows if 1 < row.value.seeds < FEW_SEEDS]
    if single:
        yield Note(
            f"One seed only for {listed(single)}: no interval and no claim; train more with "
            "seed=1,2,3,4,5.",
            loud=len(comparison.rows) > 1,
        )
    if len(single) < len(rows):
        warning = (
            f"; from fewer than {FEW_SEEDS} seeds ({listed(few)}) it rests on their being normal"
            if few
            else ""
        )
        yield Note(
            f"[low, high] is the 95 % interval of the mean over seeds, Student's t{warning}. "
            f"{comparison.other} is that of the best checkpoint of each run."
        )


def _comparisons(comparison: Comparison) -> int:
    """How many tests p-values are corrected for."""
    tested = sum(pair.difference.p is not None for pair in comparison.pairs)
    rows = len(comparison.rows)
    if tested and comparison.baseline_is_best and rows > MOST_ROWS:
        return rows * (rows - 1) // 2 - len(comparison.pairs) + tested
    return tested


def _too_few_pairs(comparison: Comparison) -> Iterable[Note]:
    """What a test that supposes no distribution could not show, whatever the figures."""
    count = _comparisons(comparison)
    pairs = [
        len(pair.difference.seeds)
        for pair in comparison.pairs
        if pair.difference.p is not None and pair.difference.overlap is None
    ]
    if comparison.ranking or not pairs or max(pairs) >= (needed := pairs_for_ranks(count)):
        return
    most = max(pairs)
    for_all = "" if count == 1 else f", {needed} where {count} comparisons are corrected together"
    yield Note(
        f"p rests on the paired differences being normal: with {most} seeds no test without that "
        f"(sign flips, Wilcoxon) has a p below {least_p(most):.3g}; to reach 0.05 it takes "
        f"{pairs_for_ranks(1)} seeds{for_all}."
    )


def _ranks(comparison: Comparison) -> Iterable[Note]:
    ranking = comparison.ranking
    if ranking is None:
        return
    count = len(ranking.data)
    yield Note(
        f"A row is of {count} data sets ({listed(ranking.data)}), which weigh the same: its "
        "figure is the mean of their means. Intervals and differences are about these data sets, "
        "ranks about others like them."
    )
    pairs = len(ranking.pairs)
    if pairs and count < (needed := pairs_for_ranks(pairs)):
        yield Note(
            f"With {count} data sets Wilcoxon's test has no p below {least_p(count):.3g}; for "
            f"{pairs} comparisons corrected together it takes {needed} to reach 0.05.",
            loud=True,
        )


def _margin(comparison: Comparison) -> Iterable[Note]:
    margin = comparison.margin
    if margin is None:
        return
    of = f"{margin.text} of {comparison.baseline}" if margin.relative else margin.text
    yield Note(
        f"within {margin.text} is the probability that the difference is at most {of}, by the "
        "Bayesian t-test (Benavoli et al. 2017)."
    )


def _folds(comparison: Comparison) -> Iterable[Note]:
    rows = [row for row in comparison.rows if len(row.folds or ()) > 1]
    if rows:
        shares = [row.value.overlap for row in rows if row.value.overlap is not None]
        by = f" by n_test / n_train = {max(shares):.3g}" if shares else ""
        seeds = "the seeds of a fold averaged first; " if _several_seeds(rows) else ""
        yield Note(
            f"[low, high] is the 95 % interval of the mean over folds, {seeds}since folds learn "
            f"from mostly the same examples, its variance is corrected{by} (Nadeau and Bengio "
            f"2003). {comparison.other} is that of the best checkpoint of each run."
        )
    missing = [
        f"{row.label} ({len(row.by_replicate)} of {expected} runs)"
        for row in comparison.rows
        if (folds := folds_of(row.runs[0].record)) is not None
        and len(row.by_replicate) < (expected := folds[0] * len(row.seeds))
    ]
    if missing:
        yield Note(
            f"Not every fold has a figure in {listed(missing)}: the examples of the others are in "
            "no mean.",
            loud=True,
        )


def _several_seeds(rows: Iterable[Row]) -> bool:
    return any(len(row.seeds) > 1 for row in rows)
