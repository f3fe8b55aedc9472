"""A row of a comparison: what the runs of one group scored."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from unrolled.comparison.grouping import Group, Run
from unrolled.comparison.metrics import number, value_of
from unrolled.comparison.statistics import Difference, Estimate, estimate
from unrolled.runs.record import look_up


@dataclass(frozen=True)
class Row:
    """A group's figures.

    ``value`` and ``other`` estimate the two metrics of the comparison over seeds, ``by_seed`` and
    ``other_by_seed`` hold the single values. ``difference`` is None for the baseline.
    """

    label: str
    values: Mapping[str, Any]
    runs: tuple[Run, ...]
    by_seed: Mapping[int, float]
    other_by_seed: Mapping[int, float]
    value: Estimate
    other: Estimate | None
    difference: Difference | None = None

    @staticmethod
    def of(group: Group, metric: str, other: str) -> "Row":
        """The row of a group whose runs all have ``metric``."""
        by_seed, other_by_seed = _by_seed(group.runs, metric), _by_seed(group.runs, other)
        return Row(
            label=group.label,
            values=group.values,
            runs=group.runs,
            by_seed=by_seed,
            other_by_seed=other_by_seed,
            value=estimate(list(by_seed.values())),
            other=estimate(list(other_by_seed.values())) if other_by_seed else None,
        )

    @property
    def seeds(self) -> list[int]:
        """The seeds that have a figure."""
        return list(self.by_seed)

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


def _by_seed(runs: tuple[Run, ...], metric: str) -> dict[int, float]:
    values = {run.record.seed: value_of(run.record, metric) for run in runs}
    return {seed: value for seed, value in values.items() if value is not None}
