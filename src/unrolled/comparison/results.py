"""The outcome of a comparison as data, which every renderer shows in its own way."""

from dataclasses import dataclass
from pathlib import Path

from unrolled.comparison.collect import LeftOut
from unrolled.comparison.columns import Column
from unrolled.comparison.grouping import Run
from unrolled.comparison.pairs import Pair
from unrolled.comparison.ranking import Ranking
from unrolled.comparison.references import Reference
from unrolled.comparison.rows import Row
from unrolled.comparison.searches import Search
from unrolled.comparison.statistics import Margin
from unrolled.runs.record import Record
from unrolled.runs.task import Metric


@dataclass(frozen=True)
class Note:
    """A sentence below the table; a ``loud`` one warns of a mistake that the table invites."""

    text: str
    loud: bool = False


@dataclass(frozen=True)
class Comparison:
    """What the records say.

    ``rows`` are sorted by ``metric``, best first; ``about`` is how that metric is read, ``other``
    the same metric of the other split (of the test split, as a rule), at the best checkpoint.
    ``keys`` are what tells the rows apart, ``added`` those of them that were not asked for.
    ``pairs`` are the differences that were looked at and corrected together, with a sentence each:
    every pair of rows where the baseline is the best row, those with it where it was named.
    ``margin`` is what makes no difference in practice, where that was asked for.
    ``ranking`` is that of the rows over several data sets, where each row is of all of them.
    ``no_headline`` is why no row may be called the best; None where one may.
    """

    folders: tuple[Path, ...]
    metric: str
    about: Metric
    other: str
    keys: tuple[str, ...]
    added: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    baseline: str
    baseline_is_best: bool
    references: tuple[Reference, ...]
    left_out: tuple[LeftOut, ...]
    searches: tuple[Search, ...]
    pairs: tuple[Pair, ...] = ()
    margin: Margin | None = None
    ranking: Ranking | None = None
    no_headline: str | None = None
    notes: tuple[Note, ...] = ()
    answer: str = ""

    @property
    def lines(self) -> list[Row | Reference]:
        """The rows, and below them what they are read against."""
        return [*self.rows, *self.references]

    @property
    def runs(self) -> list[Run]:
        """The runs of all rows."""
        return [run for row in self.rows for run in row.runs]

    @property
    def records(self) -> list[Record]:
        """Their records."""
        return [run.record for run in self.runs]

    @property
    def base(self) -> Row:
        """The row that the others are compared with."""
        return next(row for row in self.rows if row.label == self.baseline)
