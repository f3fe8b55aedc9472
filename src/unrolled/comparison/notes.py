"""The sentences below a table: what its figures rest on, and what they do not support."""

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from unrolled.comparison.formats import decimals_for, number, p_value, signed
from unrolled.comparison.grouping import CELL, DATA, added_keys
from unrolled.comparison.metrics import same_text, vocabulary
from unrolled.comparison.results import Comparison, Note, Row
from unrolled.comparison.statistics import NO_DIFFERENCE
from unrolled.metrics.names import lower_is_better
from unrolled.runs.record import Record

FEW_SEEDS = 5
_NAMED = 6  # as many names as a sentence can hold


def notes(comparison: Comparison, added: list[str]) -> list[Note]:
    """Every note that applies, warnings first; ``added`` are the keys that split rows unasked."""
    found = [
        *_data(comparison),
        *_vocabularies(comparison),
        *_unlike(comparison, added),
        *_sizes(comparison),
        *_beaten_by_chance(comparison),
        *_left_out(comparison),
        *_baseline(comparison),
        *_seeds(comparison),
        *_still_learning(comparison),
        *_hardware(comparison),
    ]
    return sorted(found, key=lambda note: not note.loud)


def answer(rows: list[Row], base: Row, metric: str) -> str:
    """The result in words, claiming no more than the seeds support."""
    decimals = decimals_for([row.value for row in rows])
    name = metric.replace("/", " ").replace("_", " ")
    extreme = "lowest" if lower_is_better(metric) else "highest"
    best = rows[0]
    if len(rows) == 1:
        value = number(best.value.mean, decimals)
        return f"{best.label} has a {name} of {value}; there is nothing to compare it with."
    said = []
    others = [row for row in rows if row is not base]
    for row in others[:_NAMED]:
        difference = row.difference
        if difference is None:
            continue
        claim = difference.verdict
        if difference.p_corrected is not None and difference.low is not None:
            assert difference.mean is not None
            assert difference.high is not None
            low, high = number(difference.low, decimals), number(difference.high, decimals)
            p = p_value(difference.p_corrected)
            if difference.shown:
                claim = f"{signed(difference.mean, decimals)} [{low}, {high}], {p}"
            else:
                claim = f"{NO_DIFFERENCE} ([{low}, {high}], {p})"
        said.append(f"{row.label} {claim}")
    more = len(others) - _NAMED
    rest = f"; {more} more in the table" if more > 0 else ""
    lead = f"{best.label} has the {extreme} {name} ({number(best.value.mean, decimals)})"
    against = "it" if base is best else base.label
    return f"{lead}; against {against}: {', '.join(said)}{rest}."


def next_steps(comparison: Comparison, curves: Path | None) -> list[str]:
    """Where to look next: the curves, TensorBoard, text from the best row's best run."""
    sign = 1 if lower_is_better(comparison.metric) else -1
    best = comparison.rows[0]
    run = min(best.runs, key=lambda run: sign * best.by_seed[run.record.seed])
    steps = [f"learning curves: {curves}"] if curves else []
    folder = comparison.folders[0]
    return [
        *steps,
        f"every curve and sample: tensorboard --logdir {folder}",
        f'text from the best run: unrolled generate {run.folder} --prompt "The "',
    ]


def _baseline(comparison: Comparison) -> Iterable[Note]:
    if len(comparison.rows) < 2:
        return
    what = "the best row here" if comparison.baseline_is_best else "as asked"
    tested = sum(
        row.difference is not None and row.difference.p is not None for row in comparison.rows
    )
    how = (
        f"paired by seed, with the 95 % interval of a paired t-test; p is corrected (Holm) for "
        f"{tested} comparison{'s' * (tested > 1)}"
        if tested
        else "paired by seed; too few seeds in common for an interval or a claim"
    )
    yield Note(
        f"Differences in {comparison.metric} are to {comparison.baseline} ({what}; --baseline "
        f"names another), {how}."
    )


def _seeds(comparison: Comparison) -> Iterable[Note]:
    single = [row.label for row in comparison.rows if row.value.seeds == 1]
    few = [row.label for row in comparison.rows if 1 < row.value.seeds < FEW_SEEDS]
    if single:
        yield Note(
            f"One seed only for {_names(single)}: no interval and no claim; train more with "
            "seed=1,2,3,4,5.",
            loud=len(comparison.rows) > 1,
        )
    if len(single) < len(comparison.rows):
        warning = (
            f"; from fewer than {FEW_SEEDS} seeds ({_names(few)}) it is too narrow to trust"
            if few
            else ""
        )
        yield Note(
            f"[low, high] is the 95 % bootstrap interval of the mean over seeds{warning}. "
            f"{comparison.other} is that of the best checkpoint of each run."
        )


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
        parts.append(f"{count} {state}, {_names(names)}")
    yield Note(f"Left out: {'; '.join(parts)}.", loud=True)


def _data(comparison: Comparison) -> Iterable[Note]:
    records = _records(comparison)
    differing = [record for record in records if not same_text(record, records[0])]
    if differing:
        names = sorted({_data_name(record) for record in records})
        yield Note(
            f"The runs were trained on different data ({_names(names)}): their figures cannot "
            "be compared, and no difference between them is given.",
            loud=True,
        )


def _vocabularies(comparison: Comparison) -> Iterable[Note]:
    records = _records(comparison)
    found = sorted({vocabulary(record) for record in records})
    bits = comparison.metric.endswith("/bits_per_character")
    if len(found) > 1:
        names = _names([f"{name} of {size:,}" for name, size in found])
        yield Note(
            f"The runs have different vocabularies ({names}): figures per token, such as "
            + (
                "perplexity, cannot be compared, so bits per character are."
                if bits
                else "perplexity, cannot be compared; --metric bits_per_character can."
            ),
            loud=True,
        )
    if not bits:
        return
    split = comparison.metric.partition("/")[0]
    rates: dict[str, float] = {}
    for record in records:
        rate = ((record.data.get("sizes") or {}).get(split) or {}).get("unknown_rate") or 0.0
        if rate > 0:
            rates[vocabulary(record)[0]] = rate
    if rates:
        shown = ", ".join(f"{name} {rate:.2%}" for name, rate in sorted(rates.items()))
        yield Note(
            f"Some {split} tokens are unknown ({shown}), and naming an unknown token costs less "
            "than spelling it: bits per character flatter these runs.",
            loud=True,
        )


def _unlike(comparison: Comparison, added: list[str]) -> Iterable[Note]:
    if added:
        plural = "they are" if len(added) > 1 else "it is"
        yield Note(
            f"The runs also differ in {_names(added)}, so {plural} part of the row's name: unlike "
            "runs are never averaged."
        )
    runs = [run for row in comparison.rows for run in row.runs]
    keys = [key for key in comparison.keys if key != CELL]
    further = added_keys(runs, keys, besides=("cell.", DATA))
    if CELL in comparison.keys and further:
        yield Note(
            f"The rows differ in more than the cell: {_names(further)}. A difference may be due "
            "to that.",
            loud=True,
        )


def _sizes(comparison: Comparison) -> Iterable[Note]:
    """What the models have in common where a budget says so, and a warning where none does."""
    sizes = {row.label: row.parameters for row in comparison.rows if row.parameters}
    costs = {row.label: row.flops_per_token for row in comparison.rows if row.flops_per_token}
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
    budgets = {(record.config.get("budget") or {}).get(of) for record in _records(comparison)}
    return budgets.pop() if len(budgets) == 1 else None


def _differ(sizes: dict[str, int]) -> bool:
    """Whether sizes differ by more than solving for a budget leaves between them."""
    return bool(sizes) and max(sizes.values()) > 1.02 * min(sizes.values())


def _beaten_by_chance(comparison: Comparison) -> Iterable[Note]:
    levels = [level.value for level in comparison.chance if level.value is not None]
    if len(levels) != 1:
        return
    sign = 1 if lower_is_better(comparison.metric) else -1
    losers = [row.label for row in comparison.rows if sign * (row.value.mean - levels[0]) >= 0]
    if losers:
        yield Note(
            f"No better than a unigram model, which knows only how frequent each token is: "
            f"{_names(losers)}.",
            loud=True,
        )


def _still_learning(comparison: Comparison) -> Iterable[Note]:
    """Where the last validation was the best, a longer run may give another order."""
    rows = [
        row.label for row in comparison.rows if all(_ended_at_best(r.record) for r in row.runs)
    ]
    if rows:
        yield Note(
            f"Every run of {_names(rows)} was best at its last validation, so it was still "
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
    records = _records(comparison)
    differing = [
        name
        for name, read in sources.items()
        if len({str(read(record)) for record in records}) > 1
    ]
    if differing:
        yield Note(
            f"The runs had different {_names(differing)}: their seconds and tokens/s are not "
            "comparable."
        )


def _records(comparison: Comparison) -> list[Record]:
    return [run.record for row in comparison.rows for run in row.runs]


def _data_name(record: Record) -> str:
    return f"{record.data.get('name')} {str(record.data.get('fingerprint', ''))[:6]}"


def _names(names: list[str]) -> str:
    """``a, b and c``, or the first few and how many more."""
    shown = names[:_NAMED]
    if len(names) > len(shown):
        return f"{', '.join(shown)} and {len(names) - len(shown)} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
