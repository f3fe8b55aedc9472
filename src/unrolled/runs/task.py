"""What a record says of its task: its metrics with direction, unit and format, and its baselines.

The task writes it when a run begins; whoever shows, compares or searches runs reads it here, so
that no other part of the program knows a task or a metric by name.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Direction = Literal["min", "max"]


@dataclass(frozen=True)
class Metric:
    """How one metric is read.

    Attributes:
        direction: ``min`` where less is better, ``max`` where more is.
        unit: of the figure, such as ``nats per token``; empty where it has none.
        format: how a single figure is written, in Python's format language.
        within: paths in a record, such as ``data.tokenizer``, in which two runs must agree for
            their figures to be compared.

    Raises:
        ValueError: another direction.
    """

    direction: Direction
    unit: str = ""
    format: str = ".4g"
    within: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.direction not in ("min", "max"):
            raise ValueError(f"direction {self.direction!r}: min or max")

    @property
    def lower_is_better(self) -> bool:
        """Whether less is better."""
        return self.direction == "min"

    def better(self, one: float, other: float) -> bool:
        """Whether ``one`` is better than ``other``; anything is better than NaN."""
        if math.isnan(one) or math.isnan(other):
            return math.isnan(other) and not math.isnan(one)
        return one < other if self.lower_is_better else one > other

    def written(self, value: float | None) -> str:
        """A figure for people: ``5.612``, ``inf``, or a dash for none."""
        return "-" if value is None else format(value, self.format)


@dataclass(frozen=True)
class TaskDescription:
    """A task as its runs' records have it.

    Attributes:
        name: of the task.
        primary: the metric that runs are compared by, without its split.
        metrics: by their names without a split.
        monitor: the metric that chose the best checkpoint, with its split.
        baselines: what a result must beat: for each label (``chance``, ``unigram``) its figures,
            named ``<split>/<metric>``.
        cautions: sentences to show with a metric, by its name ``<split>/<metric>``.
    """

    name: str
    primary: str
    metrics: Mapping[str, Metric]
    monitor: str
    baselines: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    cautions: Mapping[str, str] = field(default_factory=dict)

    def metric(self, name: str) -> Metric:
        """The metric called ``name``, with or without its split.

        Raises:
            KeyError: the task has no such metric.
        """
        return self.metrics[name.rpartition("/")[2]]

    def to_dict(self) -> dict[str, Any]:
        """Plain containers, for a record."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TaskDescription":
        """What ``to_dict`` gave.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        metrics = {
            str(name): Metric(**{**about, "within": tuple(about.get("within", ()))})
            for name, about in values["metrics"].items()
        }
        if values["primary"] not in metrics:
            raise ValueError(f"its primary metric {values['primary']} is none of its metrics")
        baselines = {
            str(label): {str(name): float(value) for name, value in figures.items()}
            for label, figures in values.get("baselines", {}).items()
        }
        return cls(
            str(values["name"]),
            str(values["primary"]),
            metrics,
            str(values["monitor"]),
            baselines,
            dict(values.get("cautions", {})),
        )
