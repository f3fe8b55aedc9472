"""The sentences below a table: what its figures rest on, and what they do not support."""

import math
from collections import Counter
from collections.abc import Callable, Iterable

from unrolled.comparison.answer import data_name
from unrolled.comparison.evidence_notes import evidence_notes
from unrolled.comparison.formats import listed
from unrolled.comparison.grouping import CELL, DATA, added_keys
from unrolled.comparison.metrics import (
    differences_within,
    metric_in_words,
    path_in_words,
    same_data,
)
from unrolled.comparison.references import baseline_over
from unrolled.comparison.results import Comparison, Note
from unrolled.runs.record import Record


def notes(comparison: Comparison) -> tuple[Note, ...]:
    """Every note that applies, warnings first."""
    found = [
        *_tasks(comparison),
        *_data(comparison),
        *_within(comparison),
        *_cautions(comparison),
        *_infinite(comparison),
        *_unlike(comparison),
        *_sizes(comparison),
        *_no_better_than_a_baseline(comparison),
        *_left_out(comparison),
        *evidence_notes(comparison),
        *_still_learning(comparison),
        *_hardware(comparison),
    ]
    return tuple(sorted(found, key=lambda note: not note.loud))


def _left_out(comparison: Comparison) -> Iterable[Note]:
    if not comparison.left_out:
        return
    parts = []
    states = Counter(run.state for run in comparison.left_out)
    for state, count in states.most_common():
        names = [
            f"{run.name} ({run.reason})" if run.reason and count <= 3 else run.name
            for run in comparison.left_out
            if run.state == state
        ]
        parts.append(f"{count} {state}, {listed(names)}")
    yield Note(f"Left out: {'; '.join(parts)}.", loud=True)


def _tasks(comparison: Comparison) -> Iterable[Note]:
    tasks = sorted({record.description.name for record in comparison.records})
    if len(tasks) > 1:
        yield Note(
            f"The runs are of different tasks ({listed(tasks)}): their figures cannot be "
            "compared, and no difference between them is given; compare one task at a time.",
            loud=True,
        )


def _data(comparison: Comparison) -> Iterable[Note]:
    records = comparison.records
    if comparison.ranking is not None:
        return
    if any(not same_data(record, records[0]) for record in records):
        names = sorted({data_name(record) for record in records})
        yield Note(
            f"The runs were trained on different data ({listed(names)}): their figures cannot "
            "be compared, and no difference between them is given.",
            loud=True,
        )


def _within(comparison: Comparison) -> Iterable[Note]:
    """Where runs differ in what their task's primary metric, or the one shown, must agree in."""
    records = comparison.records
    task = records[0].description
    if comparison.ranking is not None or any(
        record.description.name != task.name for record in records
    ):
        return
    primary = task.metrics[task.primary]
    found = differences_within(records, primary) | differences_within(records, comparison.about)
    if not found:
        return
    what = "; ".join(f"{path_in_words(path)}: {listed(values)}" for path, values in found.items())
    if comparison.about.within:
        without = next((name for name, about in task.metrics.items() if not about.within), None)
        how = f"; --metric {without} can" if without else ""
        shown = metric_in_words(comparison.metric.rpartition("/")[2])
        sentence = f"figures such as {shown} cannot be compared{how}"
    else:
        shown = metric_in_words(comparison.metric.rpartition("/")[2])
        sentence = (
            f"figures such as {metric_in_words(task.primary)} cannot be compared, so {shown} is"
        )
    yield Note(f"The runs differ ({what}): {sentence}.", loud=True)


def _cautions(comparison: Comparison) -> Iterable[Note]:
    said = dict.fromkeys(
        caution
        for record in comparison.records
        if (caution := record.description.cautions.get(comparison.metric))
    )
    yield from (Note(caution, loud=True) for caution in said)


def _infinite(comparison: Comparison) -> Iterable[Note]:
    parts = [
        f"{row.label} ({count} of {len(row.by_replicate)} {'runs' if row.folds else 'seeds'})"
        for row in comparison.rows
        if (count := sum(map(math.isinf, row.by_replicate.values())))
    ]
    if parts:
        yield Note(
            f"{comparison.metric} is infinite in {listed(parts)}: no interval and no claim.",
            loud=True,
        )


def _unlike(comparison: Comparison) -> Iterable[Note]:
    if comparison.added:
        plural = "they are" if len(comparison.added) > 1 else "it is"
        yield Note(
            f"The runs also differ in {listed(comparison.added)}, so {plural} part of the row's "
            "name: unlike runs are never averaged."
        )
    keys = [key for key in comparison.keys if key != CELL]
    further = added_keys(comparison.runs, keys, besides=("cell.", DATA))
    if CELL in comparison.keys and further:
        yield Note(
            f"The rows differ in more than the cell: {listed(further)}. A difference may be due "
            "to that.",
            loud=True,
        )


def _sizes(comparison: Comparison) -> Iterable[Note]:
    """What the models have in common where a budget says so, and a warning where none does."""
    sizes, costs = (
        {row.label: size for row in comparison.rows if (size := row.count_of(path))}
        for path in ("model.parameters", "model.flops_per_token")
    )
    if (budget := _budget(comparison, "flops")) is not None:
        if _differ(sizes):
            yield Note(
                f"The models cost the same arithmetic per token (budget.flops={budget:,}) and "
                "differ in their numbers of parameters."
            )
    elif (budget := _budget(comparison, "parameters")) is not None:
        if _differ(costs):
            yield Note(
                f"The models have the same number of parameters (budget.parameters={budget:,}) "
                "and differ in what a token costs."
            )
    elif _differ(sizes):
        small, large = min(sizes, key=sizes.__getitem__), max(sizes, key=sizes.__getitem__)
        yield Note(
            f"The models are not of equal size: {small} has {sizes[small]:,} parameters, {large} "
            f"{sizes[large]:,}; budget=equal (budget.parameters=N) compares at equal size, "
            "budget=equal_flops (budget.flops=N) at equal arithmetic.",
            loud=True,
        )


def _budget(comparison: Comparison, of: str) -> int | None:
    """The budget of this kind that all runs met; None if there is no such."""
    budgets = {(record.config.get("budget") or {}).get(of) for record in comparison.records}
    return budgets.pop() if len(budgets) == 1 else None


def _differ(sizes: dict[str, int]) -> bool:
    """Whether sizes differ by more than solving for a budget leaves between them."""
    return bool(sizes) and max(sizes.values()) > 1.02 * min(sizes.values())


def _no_better_than_a_baseline(comparison: Comparison) -> Iterable[Note]:
    losers: dict[str, list[str]] = {}
    if comparison.ranking is not None:
        # Each data set has a level of its own.
        return
    for row in comparison.rows:
        for label in row.runs[0].record.description.baselines:
            level = baseline_over(row.runs, label, comparison.metric)
            if level is not None and not comparison.about.better(row.value.mean, level):
                losers.setdefault(label, []).append(row.label)
    for label, rows in losers.items():
        yield Note(f"No better than the {label} baseline: {listed(rows)}.", loud=True)


def _still_learning(comparison: Comparison) -> Iterable[Note]:
    """Where the last validation was the best, a longer run may give another order."""
    rows = [
        row.label for row in comparison.rows if all(_ended_at_best(r.record) for r in row.runs)
    ]
    if rows:
        yield Note(
            f"Every run of {listed(rows)} was best at its last validation, so it was still "
            "learning: with more steps (trainer.max_steps) the order may change."
        )


def _ended_at_best(record: Record) -> bool:
    """Whether the last of several validations gave the best checkpoint."""
    steps = [entry.get("step") for entry in record.history]
    return len(steps) > 1 and steps[-1] == record.best.get("step")


def _hardware(comparison: Comparison) -> Iterable[Note]:
    sources: dict[str, Callable[[Record], object]] = {
        "processors": lambda record: record.environment.get("cpu"),
        "GPUs": lambda record: record.environment.get("gpu"),
        "numbers of threads": lambda record: record.environment.get("threads"),
        "versions of torch": lambda record: record.environment.get("torch"),
    }
    records = comparison.records
    differing = [
        name
        for name, read in sources.items()
        if len({str(read(record)) for record in records}) > 1
    ]
    if differing:
        yield Note(
            f"The runs had different {listed(differing)}: their seconds and tokens/s are not "
            "comparable."
        )
