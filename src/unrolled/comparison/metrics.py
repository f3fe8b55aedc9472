"""Which metric to compare by, and whether two runs' figures may be compared at all."""

import difflib
import math
from collections.abc import Sequence

from unrolled.comparison.grouping import Run, flatten
from unrolled.errors import ConfigError, RunError
from unrolled.runs.record import Record

PERPLEXITY = "validation/perplexity"
BITS = "validation/bits_per_character"


def value_of(record: Record, metric: str) -> float | None:
    """A metric of the best checkpoint; None where it is missing or not a number."""
    value = record.metrics.get(metric)
    if not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def choose_metric(runs: Sequence[Run], wanted: str | None) -> str:
    """The metric to compare by.

    Without a wish: validation perplexity; bits per character where the vocabularies differ; for
    other tasks, what the task monitors. A name without a split means the validation split.

    Raises:
        ConfigError: no run has the wanted metric.
        RunError: nothing to choose, since the runs share no metric.
    """
    names = {name for run in runs for name in run.record.metrics}
    if wanted is not None:
        metric = wanted if "/" in wanted else f"validation/{wanted}"
        if metric not in names:
            near = difflib.get_close_matches(metric, names, n=1, cutoff=0.4)
            hint = f"; nearest: {near[0]}" if near else ""
            raise ConfigError(f"metric={wanted}: no finished run has it{hint}")
        return metric
    default = BITS if len({vocabulary(run.record) for run in runs}) > 1 else PERPLEXITY
    monitors = [str(flatten(run.record.config).get("task.monitor", "")) for run in runs]
    for metric in dict.fromkeys([default, PERPLEXITY, *monitors]):
        if all(metric in run.record.metrics for run in runs):
            return metric
    raise RunError(
        f"the {len(runs)} finished runs share no default metric; name one with --metric, such as "
        f"{', '.join(sorted(names)[:4]) or 'validation/loss'}"
    )


def counterpart(metric: str) -> str:
    """The same metric of the test split; of validation where ``metric`` is of the test split."""
    split, _, name = metric.partition("/")
    return f"{'validation' if split == 'test' else 'test'}/{name}"


def vocabulary(record: Record) -> tuple[str, int]:
    """What decides whether two perplexities mean the same: the tokenizer and its size."""
    name = record.data.get("tokenizer") or flatten(record.config).get("tokenizer.name")
    return str(name), int(record.data.get("vocabulary_size") or 0)


def same_text(first: Record, second: Record) -> bool:
    """Whether two runs read the same raw text, whatever tokenizer they read it with."""
    return bool(first.data.get("fingerprint") == second.data.get("fingerprint"))


def incomparable(record: Record, baseline: Record, metric: str) -> str | None:
    """Why two figures of ``metric`` must not be subtracted; None where they may."""
    if not same_text(record, baseline):
        return "other data: not comparable"
    per_token = not metric.endswith("/bits_per_character")
    if per_token and vocabulary(record) != vocabulary(baseline):
        return "other vocabulary: not comparable"
    return None
