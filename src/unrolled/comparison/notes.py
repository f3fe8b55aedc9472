"""The sentences below a table: what its figures rest on, and what they do not support."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from unrolled.comparison.answer import data_name, last_gain
from unrolled.comparison.evidence_notes import evidence_notes
from unrolled.comparison.fair import at_an_edge, chosen_in_words, trials_of
from unrolled.comparison.formats import listed
from unrolled.comparison.grouping import CELL, DATA, FINAL, SEARCH, Run, added_keys
from unrolled.comparison.metrics import (
    differences_within,
    metric_in_words,
    path_in_words,
    same_data,
)
from unrolled.comparison.published import published_notes
from unrolled.comparison.references import baseline_over
from unrolled.comparison.results import Comparison, Note
from unrolled.comparison.searches import Trial
from unrolled.runs.record import Record, look_up


def notes(comparison: Comparison) -> tuple[Note, ...]:
    """Every note that applies, warnings first."""
    found = [
        *_tasks(comparison),
        *_data(comparison),
        *_within(comparison),
        *_cautions(comparison),
        *_infinite(comparison),
        *_unlike(comparison),
        *_tuned(comparison),
        *_sizes(comparison),
        *_precisions(comparison),
        *_no_better_than_a_baseline(comparison),
        *_left_out(comparison),
        *evidence_notes(comparison),
        *published_notes(comparison),
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


def _tuned(comparison: Comparison) -> Iterable[Note]:
    """How a fair study came to the settings of its final runs, and what is unfair about it."""
    tuned = {row.label: row.runs[0] for row in comparison.rows if row.runs[0].role == FINAL}
    if any(run.role == SEARCH for run in comparison.runs):
        yield Note(
            "Of a fair study there are trials of its search and no final runs yet: a trial was "
            "chosen by what is compared here; the same command makes the final runs.",
            loud=True,
        )
    if not tuned:
        return
    trials = {label: trials_of(run) for label, run in tuned.items()}
    settings = "; ".join(f"{label}: {chosen_in_words(run)}" for label, run in tuned.items())
    objective = look_up(next(iter(tuned.values())).record, "config.trial.objectives")
    judged = f" by {listed(objective)}" if isinstance(objective, list) else ""
    counts = listed(dict.fromkeys(str(count) for count in trials.values()))
    yield Note(
        f"Each row was tuned by a search of its own ({counts} trials, with another seed) and "
        f"judged{judged}; the figures are of fresh seeds at the best setting: {settings}."
    )
    if len(set(trials.values())) > 1:
        words = listed(f"{label} {count}" for label, count in trials.items())
        yield Note(f"The searches differ in trials ({words}), which favours more.", loud=True)
    if untuned := [row.label for row in comparison.rows if row.label not in tuned]:
        yield Note(f"Not tuned as the others were: {listed(untuned)}.", loud=True)
    for label, run in tuned.items():
        for sentence in at_an_edge(run, _trials_behind(run, comparison)):
            yield Note(f"{label}: {sentence}.", loud=True)


def _trials_behind(run: Run, comparison: Comparison) -> Sequence[Trial]:
    """The trials of the search that chose a final run's setting."""
    name = look_up(run.record, "config.trial.search")
    return next((each.trials for each in comparison.searches if each.name == name), ())


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


def _precisions(comparison: Comparison) -> Iterable[Note]:
    """Where ``trainer.precision=auto`` stood for one thing here and for another there."""
    precisions: dict[str, list[str]] = {}
    for row in comparison.rows:
        for precision in dict.fromkeys(look_up(run.record, "model.precision") for run in row.runs):
            if precision is not None:
                precisions.setdefault(str(precision), []).append(row.label)
    if len(precisions) > 1:
        found = "; ".join(f"{name}: {listed(rows)}" for name, rows in sorted(precisions.items()))
        yield Note(
            f"The rows were computed in different precisions ({found}); trainer.precision=fp32 "
            "or bf16 computes all in one.",
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
    gains = {row.label: last_gain(row, comparison.metric) for row in comparison.rows}
    rows = [label for label, gain in gains.items() if gain is not None and gain > 0]
    if rows:
        most = max(gain for gain in gains.values() if gain is not None)
        yield Note(
            f"Every run of {listed(rows)} was best at its last validation, so it was still "
            f"learning (by at most {most:.1%} over the last tenth of its steps): with more steps "
            "(trainer.max_steps) the order may change."
        )


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
