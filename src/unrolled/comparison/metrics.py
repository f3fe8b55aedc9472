"""Which metric to compare by, and whether two runs' figures of it may be compared at all."""

import difflib
import math
from collections.abc import Sequence
from typing import Any

from unrolled.comparison.grouping import Run
from unrolled.errors import ConfigError, RunError
from unrolled.runs.record import Record, look_up
from unrolled.runs.task import Metric

# What every task has.
_UNIVERSAL = "validation/loss"


def value_of(record: Record, metric: str) -> float | None:
    """A metric of the best checkpoint, which may be infinite; None where it is missing or NaN."""
    return number(record.metrics.get(metric))


def number(value: Any) -> float | None:
    """``value`` where it is a number; None where it is NaN or something else."""
    if not isinstance(value, int | float) or isinstance(value, bool) or math.isnan(value):
        return None
    return float(value)


def choose_metric(runs: Sequence[Run], wanted: str | None) -> tuple[str, Metric]:
    """The metric to compare by, and how it is read.

    Without a wish: the task's primary metric on the validation split; where the runs disagree in
    what that metric holds ``within``, the first metric of the task that holds everywhere. Of runs
    that are all folds, it is the split that the folds are. A name without a split means the same.

    Raises:
        ConfigError: no run has the wanted metric.
        RunError: nothing to choose, since the runs share no metric.
    """
    tasks = {run.record.description.name: run.record.description for run in runs}
    named = {
        name: task.metric(name)
        for task in tasks.values()
        for name in {name for run in runs for name in run.record.metrics}
        if name.rpartition("/")[2] in task.metrics
    }
    split = _held_out(runs)
    if wanted is not None:
        metric = wanted if "/" in wanted else f"{split}/{wanted}"
        if metric not in named:
            near = difflib.get_close_matches(metric, named, n=1, cutoff=0.4)
            hint = f"; nearest: {near[0]}" if near else ""
            raise ConfigError(f"metric={wanted}: no finished run has it{hint}")
        return metric, named[metric]
    candidates = []
    for task in tasks.values():
        primary = task.metrics[task.primary]
        if differences_within([run.record for run in runs], primary):
            candidates += [name for name, about in task.metrics.items() if not about.within][:1]
        candidates.append(task.primary)
    shared = {name for name in candidates if all(name in task.metrics for task in tasks.values())}
    for metric in [*(f"{split}/{name}" for name in candidates if name in shared), _UNIVERSAL]:
        if metric in named and all(metric in run.record.metrics for run in runs):
            return metric, named[metric]
    raise RunError(
        f"the {len(runs)} finished runs ({', '.join(sorted(tasks))}) share no default metric; "
        f"name one with --metric, such as {', '.join(sorted(named)[:4]) or _UNIVERSAL}"
    )


def _held_out(runs: Sequence[Run]) -> str:
    """The split that is the runs' folds; the validation split where there are none."""
    found = {look_up(run.record, "config.validation.holds_out") for run in runs}
    return "test" if found == {"test"} else "validation"


def counterpart(metric: str) -> str:
    """The same metric of the test split; of validation where ``metric`` is of the test split."""
    split, _, name = metric.partition("/")
    return f"{'validation' if split == 'test' else 'test'}/{name}"


def differences_within(records: Sequence[Record], metric: Metric) -> dict[str, list[str]]:
    """Of the paths in which runs must agree for ``metric`` to mean the same: those in which they
    do not, with the values found, as words."""
    found = {
        path: sorted({_word(look_up(record, path)) for record in records})
        for path in metric.within
    }
    return {path: values for path, values in found.items() if len(values) > 1}


def same_data(one: Record, other: Record) -> bool:
    """Whether two runs read the same raw data, however it was made into examples."""
    return bool(one.data.get("fingerprint") == other.data.get("fingerprint"))


def incomparable(record: Record, baseline: Record, metric: Metric) -> str | None:
    """Why two figures of ``metric`` must not be subtracted; None where they may."""
    if record.description.name != baseline.description.name:
        return "other task: not comparable"
    if not same_data(record, baseline):
        return "other data: not comparable"
    for path in metric.within:
        if look_up(record, path) != look_up(baseline, path):
            return f"other {path_in_words(path)}: not comparable"
    if folds_of(record) != folds_of(baseline):
        return "other folds: not comparable"
    return None


def folds_of(record: Record) -> tuple[int, str] | None:
    """How many folds a run is one of, and which split they are; None without cross-validation."""
    folds = record.config.get("folds")
    if not isinstance(folds, int):
        return None
    return folds, str(look_up(record, "config.validation.holds_out"))


def path_in_words(path: str) -> str:
    """``vocabulary size`` for ``data.vocabulary_size``."""
    return path.rpartition(".")[2].replace("_", " ")


def metric_in_words(metric: str) -> str:
    """``validation squared error`` for ``validation/squared_error``."""
    return metric.replace("/", " ").replace("_", " ")


def _word(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
