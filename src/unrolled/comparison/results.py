"""The outcome of a comparison as data: rows (scores, sizes, costs), notes, an answer."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from unrolled.comparison.chance import Chance
from unrolled.comparison.collect import LeftOut
from unrolled.comparison.grouping import Group, Run
from unrolled.comparison.metrics import value_of
from unrolled.comparison.statistics import Difference, Estimate, estimate
from unrolled.runs.record import Record


@dataclass
class Row:
    """A group's figures.

    ``value`` and ``other`` estimate the two metrics of the comparison over seeds, ``by_seed`` and
    ``other_by_seed`` hold the single values; ``parameters`` the models' sizes, ``flops_per_token``
    what a forward pass costs, ``state_size`` the numbers carried from step to step, ``seconds``
    and ``tokens_per_second`` the means over runs. ``difference`` is None for the baseline.
    """

    label: str
    values: dict[str, Any]
    runs: list[Run]
    by_seed: dict[int, float]
    other_by_seed: dict[int, float]
    value: Estimate
    other: Estimate | None
    parameters: int | None
    flops_per_token: int | None
    state_size: int | None
    seconds: float | None
    tokens_per_second: float | None
    difference: Difference | None = None

    @property
    def seeds(self) -> list[int]:
        return list(self.by_seed)

    def to_json(self, metric: str, other: str) -> dict[str, Any]:
        """Everything above, and each run."""
        return {
            "label": self.label,
            "values": self.values,
            "seeds": self.seeds,
            metric: asdict(self.value),
            other: asdict(self.other) if self.other else None,
            "difference": asdict(self.difference) if self.difference else None,
            "parameters": self.parameters,
            "flops_per_token": self.flops_per_token,
            "state_size": self.state_size,
            "seconds": self.seconds,
            "tokens_per_second": self.tokens_per_second,
            "runs": [_run_to_json(run) for run in self.runs],
        }


@dataclass(frozen=True)
class Note:
    """A sentence below the table; a ``loud`` one warns of a mistake that the table invites."""

    text: str
    loud: bool = False


@dataclass(frozen=True)
class Comparison:
    """What the records say.

    ``rows`` are sorted by ``metric``, best first; ``other`` is the same metric of the other split
    (of the test split, as a rule), at the best checkpoint. ``files`` are those written.
    """

    folders: list[Path]
    metric: str
    other: str
    keys: list[str]
    rows: list[Row]
    baseline: str
    baseline_is_best: bool
    chance: list[Chance]
    notes: list[Note]
    answer: str
    left_out: list[LeftOut]
    next_steps: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)


def make_row(group: Group, metric: str, other: str) -> Row:
    """The row of a group whose runs all have ``metric``."""
    by_seed = _by_seed(group.runs, metric)
    other_by_seed = _by_seed(group.runs, other)
    records = [run.record for run in group.runs]
    seconds = _numbers([record.timing.get("seconds") for record in records])
    speeds = _numbers([record.timing.get("tokens_per_second") for record in records])
    return Row(
        label=group.label,
        values=group.values,
        runs=group.runs,
        by_seed=by_seed,
        other_by_seed=other_by_seed,
        value=estimate(list(by_seed.values())),
        other=estimate(list(other_by_seed.values())) if other_by_seed else None,
        parameters=_size(records, "parameters"),
        flops_per_token=_size(records, "flops_per_token"),
        state_size=_size(records, "state_size"),
        seconds=_mean(seconds) if seconds else None,
        tokens_per_second=_mean(speeds) if speeds else None,
    )


def _by_seed(runs: list[Run], metric: str) -> dict[int, float]:
    values = {run.record.seed: value_of(run.record, metric) for run in runs}
    return {seed: value for seed, value in values.items() if value is not None}


def _size(records: list[Record], name: str) -> int | None:
    """The mean of what the records say of their models; None in records of older versions."""
    values = _numbers([record.model.get(name) for record in records])
    return round(_mean(values)) if values else None


def _numbers(values: list[Any]) -> list[float]:
    return [float(value) for value in values if isinstance(value, int | float)]


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _run_to_json(run: Run) -> dict[str, Any]:
    record = run.record
    return {
        "name": record.name,
        "folder": str(run.folder),
        "identity": record.identity,
        "seed": record.seed,
        "best_step": record.best.get("step"),
        "metrics": record.metrics,
        "parameters": record.model.get("parameters"),
        "flops_per_token": record.model.get("flops_per_token"),
        "state_size": record.model.get("state_size"),
        "seconds": record.timing.get("seconds"),
        "tokens_per_second": record.timing.get("tokens_per_second"),
    }
