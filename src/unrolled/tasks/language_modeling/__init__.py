"""Language modeling: predict the next token of running text."""

import math
from collections.abc import Mapping
from typing import Any

from unrolled.runs.task import Metric, TaskDescription

# Figures per token mean the same in two runs only where the tokens are the same.
TOKENS = ("data.tokenizer", "data.vocabulary_size")

METRICS: dict[str, Metric] = {
    "loss": Metric("min", "nats per token", within=TOKENS),
    "perplexity": Metric("min", within=TOKENS),
    "bits_per_character": Metric("min"),
    "accuracy": Metric("max", within=TOKENS),
    "accuracy_top5": Metric("max", within=TOKENS),
    **{
        f"{name}_{average}": Metric("max", within=TOKENS)
        for name in ("precision", "recall", "f1")
        for average in ("macro", "micro")
    },
}


def describe(data: Mapping[str, Any] | None = None) -> TaskDescription:
    """The task as a record has it.

    Args:
        data: the record's own ``data``, once there is some: baselines and cautions come from it.
    """
    return TaskDescription(
        "language_modeling", "perplexity", METRICS, _baselines(data or {}), _cautions(data or {})
    )


def describe_schema_1(record: Mapping[str, Any]) -> dict[str, Any]:
    """The description for a record of schema 1, whose ``data`` has what it needs."""
    return describe(record.get("data")).to_dict()


def _baselines(data: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """A unigram model: what knowing only how frequent each token is would score."""
    figures: dict[str, float] = {}
    for split, perplexity in (data.get("unigram_perplexity") or {}).items():
        loss = math.log(perplexity)
        figures |= {f"{split}/loss": loss, f"{split}/perplexity": float(perplexity)}
        size = (data.get("sizes") or {}).get(split) or {}
        if size.get("characters"):
            per_character = loss / math.log(2) * float(size["tokens"]) / float(size["characters"])
            figures[f"{split}/bits_per_character"] = per_character
    return {"unigram": figures} if figures else {}


def _cautions(data: Mapping[str, Any]) -> dict[str, str]:
    """What flatters bits per character: an unknown token costs less than spelling it."""
    rates = {
        split: size.get("unknown_rate") or 0.0 for split, size in (data.get("sizes") or {}).items()
    }
    return {
        f"{split}/bits_per_character": (
            f"{rate:.2%} of the {split} tokens are unknown (tokenizer {data.get('tokenizer')}): "
            "naming an unknown token costs less than spelling it, which flatters bits per "
            "character."
        )
        for split, rate in rates.items()
        if rate > 0
    }
