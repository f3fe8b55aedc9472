"""The columns of a comparison: to add one is to add one object here.

Renderers (terminal, Markdown, CSV, JSON) know columns and no figure in particular.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from unrolled.comparison.fair import chosen_in_words
from unrolled.comparison.formats import Figures, duration, p_value, percent, short, whole
from unrolled.comparison.grouping import CELL, FINAL
from unrolled.comparison.metrics import metric_in_words
from unrolled.comparison.references import Reference
from unrolled.comparison.rows import Row
from unrolled.comparison.statistics import NO_DIFFERENCE, Difference, Estimate, Margin
from unrolled.comparison.statistics.effects import Effects
from unrolled.comparison.statistics.means import (
    Values,
    interquartile_mean,
    median,
    standard_deviation,
)
from unrolled.runs.task import Direction, Metric
from unrolled.runs.text import one_line

Parts = tuple[str, ...]


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        name: in JSON and CSV.
        title: for people.
        value: of a row; None where it has none.
        format: a value as text: a figure, then what qualifies it.
        unit: of the figure; empty where it has none.
        direction: ``min`` where less is better; None where neither is.
        reference: the value of a baseline or of a published figure; None: it has none.
        brief: the value in few characters, and ``brief_title`` the title alike; None: as ever.
        stack: in a wide table, columns that follow each other and have the same word here share a
            column, one below the other.
        rank: a narrow table leaves out the columns of the highest rank first.
        detail: left out of a terminal, whatever its width; the files and the report have it.
    """

    name: str
    title: str
    value: Callable[[Row], Any]
    format: Callable[[Any], Parts]
    unit: str = ""
    direction: Direction | None = None
    reference: Callable[[Reference], Any] | None = None
    brief: Callable[[Any], str] | None = None
    brief_title: str | None = None
    stack: str = ""
    rank: int = 0
    is_text: bool = False
    detail: bool = False

    @property
    def heading(self) -> str:
        """The title with its unit."""
        return one_line(f"{self.title} ({self.unit})" if self.unit else self.title)

    def cell(self, row: Row | Reference) -> Parts:
        """The text of a row's value."""
        found, value = self._value(row)
        return self.format(value) if found else ()

    def brief_cell(self, row: Row | Reference) -> str:
        """The same in few characters."""
        found, value = self._value(row)
        if not found:
            return ""
        if self.brief is not None and not isinstance(row, Reference):
            return self.brief(value)
        return next(iter(self.format(value)), "")

    def _value(self, row: Row | Reference) -> tuple[bool, Any]:
        if isinstance(row, Row):
            return True, self.value(row)
        return (False, None) if self.reference is None else (True, self.reference(row))


_RANK = Column(
    "mean_rank",
    "mean rank",
    lambda row: row.rank,
    lambda rank: (f"{rank:.2f}",),
    direction="min",
)


def make_columns(
    rows: Sequence[Row],
    metric: str,
    about: Metric,
    other: str,
    keys: Sequence[str],
    baseline: str,
    margin: Margin | None = None,
) -> tuple[Column, ...]:
    """Every column of a comparison, in order."""
    figures = Figures.of(about, [row.value for row in rows])

    def estimated(value: Estimate | float | None) -> Parts:
        if isinstance(value, Estimate):
            return _parts(figures.number(value.mean), figures.interval(value.low, value.high))
        return (figures.number(value),)

    def difference(value: Difference | None) -> Parts:
        if value is None or value.mean is None:
            return ()
        return _parts(figures.signed(value.mean), figures.interval(value.low, value.high))

    folds = Column(
        "folds",
        "folds",
        lambda row: row.folds,
        lambda folds: (str(len(folds)) if folds else "-",),
        rank=8,
    )
    tuned = Column(
        "setting",
        "best setting of its search",
        lambda row: chosen_in_words(row.runs[0]) if row.runs[0].role == FINAL else None,
        lambda setting: (setting or "-",),
        rank=9,
        is_text=True,
    )
    return (
        Column(
            "label",
            "cell" if list(keys) == [CELL] else "runs",
            lambda row: row.label,
            lambda label: (one_line(label),),
            reference=lambda level: level.label,
            is_text=True,
        ),
        *([_RANK] if any(row.rank is not None for row in rows) else []),
        Column("seeds", "seeds", lambda row: row.seeds, lambda seeds: (str(len(seeds)),), rank=8),
        *([folds] if any(row.folds for row in rows) else []),
        Column(
            metric,
            metric_in_words(metric),
            lambda row: row.value,
            estimated,
            about.unit,
            about.direction,
            reference=lambda level: level.value,
        ),
        Column(
            other,
            metric_in_words(other),
            lambda row: row.other,
            estimated,
            about.unit,
            about.direction,
            reference=lambda level: level.other,
            rank=5,
        ),
        Column(
            "difference",
            f"difference to {baseline}",
            lambda row: row.difference,
            difference,
            direction=about.direction,
            brief_title="diff.",
            stack="difference",
        ),
        Column(
            "verdict",
            "verdict",
            _verdict,
            lambda verdict: (verdict,),
            # The word baseline is for the row that the others are compared with.
            reference=lambda level: "reference" if level.kind == "baseline" else level.kind,
            brief=_brief_verdict,
            stack="difference",
            is_text=True,
        ),
        *([] if margin is None else [_within(margin)]),
        *_details(figures, about),
        *([tuned] if any(row.runs[0].role == FINAL for row in rows) else []),
        _count("parameters", "params", "model.parameters", whole, rank=1),
        _count("flops_per_token", "FLOPs", "model.flops_per_token", short, rank=3),
        _count("state_size", "state", "model.state_size", short, rank=4),
        Column(
            "seconds",
            "seconds",
            lambda row: row.mean_of("timing.seconds"),
            lambda value: (duration(value),),
            stack="speed",
            rank=6,
        ),
        Column(
            "tokens_per_second",
            "tokens/s",
            lambda row: row.mean_of("timing.tokens_per_second"),
            lambda value: (whole(value),),
            direction="max",
            brief=short,
            brief_title="tok/s",
            stack="speed",
            rank=7,
        ),
    )


def _within(margin: Margin) -> Column:
    """The probability that a row is as good as the baseline."""
    return Column(
        "within",
        f"within {margin.text}",
        lambda row: row.difference and row.difference.within,
        lambda share: () if share is None else (percent(share),),
        rank=2,
    )


def _details(figures: Figures, about: Metric) -> Iterable[Column]:
    """What else the runs' figures say, for who looks closer."""

    def spread(
        name: str, title: str, of: Callable[[Values], float | None], direction: Direction | None
    ) -> Column:
        return Column(
            name,
            title,
            lambda row: of(row.by_replicate),
            lambda value: (figures.number(value),),
            about.unit,
            direction,
            detail=True,
        )

    def effect(
        name: str,
        title: str,
        of: Callable[[Effects], float | None],
        written: Callable[[float], str],
    ) -> Column:
        return Column(
            name,
            title,
            lambda row: None if row.effects is None else of(row.effects),
            lambda value: () if value is None else (written(value),),
            detail=True,
        )

    yield spread("median", "median", median, about.direction)
    yield spread("iqm", "interquartile mean", interquartile_mean, about.direction)
    yield spread("sd", "standard deviation", standard_deviation, None)
    yield effect("effect_size", "Hedges' g", lambda found: found.size, "{:+.2f}".format)
    title = "probability of improvement"
    yield effect("improvement", title, lambda found: found.improvement, percent)
    yield effect("permutation_p", "sign-flip test", lambda found: found.permutation_p, p_value)


def _count(
    name: str, title: str, path: str, written: Callable[[float | None], str], rank: int
) -> Column:
    """A size of the models, whose mean is a whole number."""
    return Column(
        name,
        title,
        lambda row: row.count_of(path),
        lambda value: (written(value),),
        brief=short,
        stack="size",
        rank=rank,
    )


def _verdict(row: Row) -> str:
    if row.difference is None:
        return "baseline"
    p = row.difference.p_corrected
    verdict = row.difference.verdict
    return verdict if p is None else f"{verdict}, {p_value(p)}"


def _brief_verdict(verdict: str) -> str:
    """Without the p-value of what is not shown, and without why nothing is claimed."""
    return NO_DIFFERENCE if verdict.startswith(NO_DIFFERENCE) else verdict.rpartition(": ")[2]


def _parts(*parts: str) -> Parts:
    return tuple(filter(None, parts))
