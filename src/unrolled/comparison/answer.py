"""The result of a comparison in words, claiming no more than the seeds support."""

import math
from collections.abc import Sequence
from pathlib import Path

from unrolled.comparison.formats import Figures, listed, p_value, percent
from unrolled.comparison.metrics import (
    differences_within,
    incomparable,
    metric_in_words,
    number,
    path_in_words,
    same_data,
)
from unrolled.comparison.ranking import rank_answer
from unrolled.comparison.results import Comparison
from unrolled.comparison.rows import Row
from unrolled.comparison.statistics import NO_DIFFERENCE, Difference, Margin
from unrolled.runs.record import Record, look_up
from unrolled.runs.task import Metric

_NAMED = 6  # as many rows as a sentence can hold
# A gain over the last tenth of the steps from which more steps would change the figures.
FAST = 0.02


def why_no_headline(rows: Sequence[Row], metric: str, about: Metric) -> str | None:
    """Why no row may be called the best; None where one may."""
    records = [run.record for row in rows for run in row.runs]
    first = records[0]
    firsts = {run.data: run.record for row in rows for run in row.runs}
    alike = all(
        incomparable(run.record, firsts[run.data], about) is None
        for row in rows
        for run in row.runs
    )
    if alike and len({record.description.name for record in records}) == 1:
        return None
    tasks = sorted({record.description.name for record in records})
    if len(tasks) > 1:
        return f"the runs are of different tasks ({listed(tasks)}); compare one task at a time"
    if any(not same_data(record, first) for record in records):
        names = sorted({data_name(record) for record in records})
        return f"the runs were trained on different data ({listed(names)})"
    if not differences_within(records, about):
        return "the runs were not split into the same folds"
    paths = listed(path_in_words(path) for path in differences_within(records, about))
    return f"{metric_in_words(metric)} means something else in runs that differ in {paths}"


def answer(comparison: Comparison) -> str:
    """Which row is best, and what is known of the others against the baseline."""
    rows, base = comparison.rows, comparison.base
    figures = Figures.of(comparison.about, [row.value for row in rows])
    name = metric_in_words(comparison.metric)
    best = rows[0]
    if len(rows) == 1:
        value = figures.number(best.value.mean)
        return f"{best.label} has a {name} of {value}; there is nothing to compare it with."
    if comparison.no_headline is not None:
        return f"No row is the best here: {comparison.no_headline}."
    if not math.isfinite(best.value.mean):
        return f"No row has a finite {name}."
    if comparison.ranking is not None:
        return rank_answer(comparison.ranking, base.label)
    others = [(row.label, row.difference) for row in rows if row.difference is not None]
    said = [f"{label} {claim(one, figures, comparison.margin)}" for label, one in others[:_NAMED]]
    more = len(others) - _NAMED
    rest = f"; {more} more in the table" if more > 0 else ""
    extreme = "lowest" if comparison.about.lower_is_better else "highest"
    early = _too_early(comparison)
    lead = f"{early}{best.label} has the {extreme} {name} ({figures.number(best.value.mean)})"
    against = "it" if base is best else base.label
    return f"{lead}; against {against}: {', '.join(said)}{rest}."


def next_steps(comparison: Comparison, files: Sequence[Path]) -> list[str]:
    """Where to look next: the report, TensorBoard, the best row's best run."""
    by_name = {path.name: path for path in files}
    named = {"the report": "report.html", "learning curves": "learning_curves.png"}
    steps = [f"{what}: {by_name[name]}" for what, name in named.items() if name in by_name]
    steps += [
        f"the search: {path}" for path in files if path.name.startswith(("search", "tuning"))
    ]
    best = comparison.rows[0]
    sign = 1 if comparison.about.lower_is_better else -1
    run = min(best.runs, key=lambda run: sign * best.by_replicate[run.replicate])
    steps += [
        f"every curve: unrolled tensorboard {each}" for each in dict.fromkeys(comparison.folders)
    ]
    comparable = comparison.no_headline is None
    if comparable and look_up(run.record, "config.task.sample") is not None:
        steps.append(f'text from the best run: unrolled generate {run.folder} --prompt "The "')
    return steps


def last_gain(row: Row, metric: str) -> float | None:
    """How much of a metric the runs of a row still gained over the last tenth of their steps, as a
    share of what they have; None unless every one was best at its last validation."""
    name = f"validation/{metric.partition('/')[2]}"
    gains = []
    for run in row.runs:
        history = [entry for entry in run.record.history if number(entry.get(name)) is not None]
        if len(history) < 2 or history[-1]["step"] != run.record.best.get("step"):
            return None
        before, last = history[-2:]
        steps = last["step"] - before["step"]
        if not last[name] or not steps or not math.isfinite(before[name]):
            return None
        share = abs(last[name] - before[name]) / abs(last[name])
        gains.append(share * min(1.0, 0.1 * last["step"] / steps))
    return sum(gains) / len(gains) if gains else None


def _too_early(comparison: Comparison) -> str:
    """What must be said before the answer where runs ended too early for one."""
    gains = {row.label: last_gain(row, comparison.metric) for row in comparison.rows}
    fast = {label: gain for label, gain in gains.items() if gain is not None and gain > FAST}
    if not fast:
        return ""
    words = listed(f"{label} ({gain:.1%})" for label, gain in list(fast.items())[:_NAMED])
    return (
        f"The runs are too short for a lasting answer: {words} still gained over the last tenth "
        "of the steps. As far as they went, "
    )


def data_name(record: Record) -> str:
    """A data set's name and the beginning of its fingerprint."""
    return f"{record.data.get('name')} {str(record.data.get('fingerprint', ''))[:6]}"


def claim(difference: Difference, figures: Figures, margin: Margin | None = None) -> str:
    """What a difference says in a few words: its size, interval and p-value, or why it says
    nothing."""
    if difference.p_corrected is None or difference.mean is None:
        return difference.verdict
    bounds = figures.interval(difference.low, difference.high)
    p = p_value(difference.p_corrected)
    said = f"{NO_DIFFERENCE} ({bounds}, {p})"
    if difference.shown:
        said = f"{figures.signed(difference.mean)} {bounds}, {p}"
    if difference.within is not None and margin is not None:
        said += f", within {margin.text} with probability {percent(difference.within)}"
    return said
