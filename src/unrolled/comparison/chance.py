"""What a model without memory would score, where the data says: what a result must beat."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from unrolled.comparison.grouping import Run
from unrolled.runs.record import Record


@dataclass(frozen=True)
class Chance:
    """A chance level of both columns; None where that split has none."""

    label: str
    value: float | None
    other: float | None


def chance_levels(runs: Sequence[Run], metric: str, other: str) -> list[Chance]:
    """The unigram model's level of both metrics; one for each data set and tokenizer."""
    found: dict[tuple[float | None, float | None], set[str]] = {}
    for run in runs:
        levels = (unigram(run.record, metric), unigram(run.record, other))
        if levels != (None, None):
            data = run.record.data
            found.setdefault(levels, set()).add(f"{data.get('name')}, {data.get('tokenizer')}")
    if len(found) == 1:
        return [Chance("unigram", *levels) for levels in found]
    return [
        Chance(f"unigram ({'; '.join(sorted(names))})", *levels) for levels, names in found.items()
    ]


def unigram(record: Record, metric: str) -> float | None:
    """What knowing only how frequent each training token is would score; None if unknown."""
    split, _, name = metric.partition("/")
    perplexity = (record.data.get("unigram_perplexity") or {}).get(split)
    if not perplexity:
        return None
    if name == "perplexity":
        return float(perplexity)
    if name == "loss":
        return math.log(perplexity)
    sizes = (record.data.get("sizes") or {}).get(split) or {}
    if name == "bits_per_character" and sizes.get("characters"):
        return math.log2(perplexity) * float(sizes["tokens"]) / float(sizes["characters"])
    return None
