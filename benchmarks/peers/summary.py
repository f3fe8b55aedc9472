"""From what was seen of each training to a contestant's figures, as ratios to the script."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.peers.contest import PLAIN, seconds_to

# Training costs so many times the forward pass: backward, each product has two.
PASSES = 3

Training = Mapping[str, Any]


def summarize(
    trainings: Mapping[str, Sequence[Training]],
    rates: Mapping[str, float],
    flops_per_token: float,
    target: float | None = None,
) -> dict[str, dict[str, Any]]:
    """Each contestant's medians over rounds; a ratio is the median over rounds of its own to the
    script's in the same round.

    Args:
        trainings: of each contestant, one a round.
        rates: the machine's floating-point operations a second in matrix products, by precision.
        flops_per_token: of the forward pass.
        target: the validation perplexity that is timed; None: in each round, what every contestant
            reached by its end.
    """
    rounds = len(next(iter(trainings.values())))
    targets = [
        target or max(of[place]["parts"][-1]["perplexity"] for of in trainings.values())
        for place in range(rounds)
    ]
    script = trainings.get(PLAIN)
    return {
        name: _one(of, script, rates, flops_per_token, targets) for name, of in trainings.items()
    }


def _one(
    own: Sequence[Training],
    script: Sequence[Training] | None,
    rates: Mapping[str, float],
    flops_per_token: float,
    targets: Sequence[float],
) -> dict[str, Any]:
    speed = statistics.median(one["tokens_per_second"] for one in own)
    precision = own[0]["precision"]
    result: dict[str, Any] = {
        "tokens_per_second": speed,
        "precision": precision,
        "parameters": own[0]["parameters"],
        "train_loss": statistics.median(one["parts"][-1]["loss"] for one in own),
        "perplexity": statistics.median(one["parts"][-1]["perplexity"] for one in own),
        "peak_bytes": statistics.median(one["peak_bytes"] for one in own),
        # The first round finds nothing cached.
        "start_seconds": _median([one["start_seconds"] for one in own[1:] or own]),
        "first_start_seconds": own[0]["start_seconds"],
        "seconds_to_target": _median(
            [_from_command(one, target) for one, target in zip(own, targets, strict=True)]
        ),
        # An output layer of another kind has another number of them.
        "rate_share": PASSES
        * own[0].get("flops_per_token", flops_per_token)
        * speed
        / rates[precision],
        "trainings": list(own),
    }
    if script is not None:
        pairs = list(zip(own, script, strict=True))
        result["speed_ratio"] = statistics.median(
            mine["tokens_per_second"] / theirs["tokens_per_second"] for mine, theirs in pairs
        )
        result["memory_ratio"] = statistics.median(
            mine["peak_bytes"] / theirs["peak_bytes"] for mine, theirs in pairs
        )
    return result


def _from_command(training: Training, target: float) -> float | None:
    """Seconds from the command until the perplexity was reached, evaluations left out."""
    start, seconds = training["start_seconds"], seconds_to(training["parts"], target)
    # The first step is in both, and costs little of either.
    return None if start is None or seconds is None else start + seconds


def _median(values: Sequence[float | None]) -> float | None:
    """None where a round has none."""
    known = [value for value in values if value is not None]
    return statistics.median(known) if known and len(known) == len(values) else None
