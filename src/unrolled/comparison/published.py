"""Rows against figures that others published: a test of each row's seeds against one number."""

from collections.abc import Iterable

from unrolled.comparison.answer import claim
from unrolled.comparison.formats import Figures, listed
from unrolled.comparison.grouping import CELL
from unrolled.comparison.references import Reference, published_in
from unrolled.comparison.results import Comparison, Note
from unrolled.comparison.rows import Row, overlap
from unrolled.comparison.statistics import Difference, paired_differences
from unrolled.comparison.statistics.means import Values
from unrolled.runs.record import look_up


def published_notes(comparison: Comparison) -> Iterable[Note]:
    """A sentence for each published figure and the rows whose configurations name it (of its cell
    alone, where it has one), and one on how they were tested; none where a row has too few seeds
    for a claim.

    A figure of the test split goes before one of the validation split. P-values are corrected for
    all rows and figures together.
    """
    if comparison.ranking is not None:
        # A row is of several data sets, and a published figure of one.
        return
    levels = [level for level in comparison.references if level.kind == "published"]
    pairs = [
        (level, row)
        for level in levels
        for row in comparison.rows
        if _is_named(comparison, level, row)
    ]
    values = [_against(comparison, level, row) for level, row in pairs]
    share = overlap(comparison.base.runs, comparison.other)
    found = paired_differences(values, comparison.about.lower_is_better, share)
    tested = [
        (level, row, difference)
        for (level, row), difference in zip(pairs, found, strict=True)
        if difference.p is not None
    ]
    for level in dict.fromkeys(level for level, _, _ in tested):
        told = [(row, difference) for of, row, difference in tested if of is level]
        yield Note(_sentence(comparison, level, told))
    if tested:
        count = len(tested)
        corrected = f", corrected (Holm) for all {count} such tests" if count > 1 else ""
        yield Note(
            f"A published figure is taken as exact, though it is mostly that of one run: the test "
            f"is a t-test of a row's seeds against it{corrected}."
        )


def _is_named(comparison: Comparison, level: Reference, row: Row) -> bool:
    record = row.runs[0].record
    if level.cell is not None and level.cell != look_up(record, f"config.{CELL}"):
        return False
    return level in published_in(record, comparison.metric, comparison.other)


def _measured(comparison: Comparison, level: Reference) -> tuple[str, float, bool]:
    """Which metric the figure is of, of the test split if it can be, the figure, and whether that
    is the comparison's other metric."""
    levels = ((comparison.metric, level.value, False), (comparison.other, level.other, True))
    known = [(name, figure, other) for name, figure, other in levels if figure is not None]
    return min(known, key=lambda one: not one[0].startswith("test/"))


def _against(comparison: Comparison, level: Reference, row: Row) -> tuple[Values, Values]:
    """A row's values, and the published one beside each."""
    _, figure, other = _measured(comparison, level)
    values = row.other_by_replicate if other else row.by_replicate
    return values, dict.fromkeys(values, figure)


def _sentence(comparison: Comparison, level: Reference, told: list[tuple[Row, Difference]]) -> str:
    metric, figure, other = _measured(comparison, level)
    estimates = [(row.other if other else None) or row.value for row, _ in told]
    figures = Figures.of(comparison.about, estimates)
    parts = []
    for row, difference in told:
        verdict = f" is {difference.verdict}," if difference.shown else ""
        parts.append(f"{row.label}{verdict} {claim(difference, figures)}")
    return (
        f"Against the published {metric} of {figures.number(figure)} ({level.label}): "
        f"{listed(parts)}."
    )
