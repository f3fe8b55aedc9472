"""A row of a comparison: what the runs of one group scored."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unrolled.comparison.grouping import Group, Replicate, Run
from unrolled.comparison.metrics import folds_of, number, value_of
from unrolled.comparison.statistics import Difference, Estimate, estimate
from unrolled.comparison.statistics.effects import Effects
from unrolled.comparison.statistics.means import folds_in
from unrolled.runs.record import look_up


@dataclass(frozen=True)
class Row:
    """A group's figures.

    ``value`` and ``other`` estimate the two metrics of the comparison over seeds and folds,
    ``by_replicate`` and ``other_by_replicate`` hold the single values. ``difference`` and
    ``effects`` are to the baseline, for which they are None. ``rank`` is the mean rank over data
    sets, where a row is of several.
    """

    label: str
    values: Mapping[str, Any]
    runs: tuple[Run, ...]
    by_replicate: Mapping[Replicate, float]
    other_by_replicate: Mapping[Replicate, float]
    value: Estimate
    other: Estimate | None
    difference: Difference | None = None
    effects: Effects | None = None
    rank: float | None = None

    @staticmethod
    def of(group: Group, metric: str, other: str) -> "Row":
        """The row of a group whose runs all have ``metric``."""
        values, others = (_by_replicate(group.runs, name) for name in (metric, other))
        return Row(
            label=group.label,
            values=group.values,
            runs=group.runs,
            by_replicate=values,
            other_by_replicate=others,
            value=estimate(values, overlap(group.runs, metric)),
            other=estimate(others, overlap(group.runs, other)) if others else None,
        )

    @property
    def seeds(self) -> list[int]:
        """The seeds that have a figure."""
        return list(dict.fromkeys(replicate.seed for replicate in self.by_replicate))

    @property
    def folds(self) -> list[int] | None:
        """The folds that have a figure; None without cross-validation."""
        folds = folds_in(self.by_replicate)
        return folds or None

    def mean_of(self, path: str) -> float | None:
        """The mean over runs of what their records have at a path such as ``timing.seconds``;
        None where none of them has a number there."""
        found = (number(look_up(run.record, path)) for run in self.runs)
        values = [value for value in found if value is not None and math.isfinite(value)]
        return sum(values) / len(values) if values else None

    def count_of(self, path: str) -> int | None:
        """The same for what is a whole number in each record."""
        mean = self.mean_of(path)
        return None if mean is None else round(mean)


def overlap(runs: Sequence[Run], metric: str) -> float:
    """How much the folds' models have in common: for each example that is learned from, how many
    are evaluated, n_test / n_train; 0 without folds.

    Args:
        runs: of a group.
        metric: whose split is evaluated.
    """
    folds = folds_of(runs[0].record)
    if folds is None:
        return 0.0
    split = metric.partition("/")[0]
    sizes = [
        [number(look_up(run.record, f"data.sizes.{name}.examples")) for name in (split, "train")]
        for run in runs
    ]
    known = [(tested, trained) for tested, trained in sizes if tested and trained]
    if not known:
        # A data set that does not say how large its splits are.
        return 1 / max(1, folds[0] - 1)
    return sum(tested for tested, _ in known) / sum(trained for _, trained in known)


def _by_replicate(runs: tuple[Run, ...], metric: str) -> dict[Replicate, float]:
    values = {run.replicate: value_of(run.record, metric) for run in runs}
    return {replicate: value for replicate, value in values.items() if value is not None}
