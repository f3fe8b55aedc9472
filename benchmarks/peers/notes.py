"""What limits a training, in sentences made from the figures."""

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.peers.contest import PLAIN
from benchmarks.peers.parts import PARTS

# Losses that differ by more say that the contestants did not learn the same.
EQUAL_LOSS = 0.05


def notes(measurement: Mapping[str, Any]) -> Iterator[str]:
    """The bottleneck, the share of the machine's rate, and what makes figures unequal."""
    where = f"{measurement['work']}, threads: {measurement['threads']}"
    seconds: dict[str, float] = measurement["parts"]
    total = sum(seconds.values())
    bottleneck = max(seconds, key=lambda name: seconds[name])
    yield (
        f"{where}: {PARTS[bottleneck]} {'take' if ' and ' in PARTS[bottleneck] else 'takes'} "
        f"{seconds[bottleneck] / total:.0%} of the {1000 * total:.1f} ms that the parts of a "
        f"plain step take ({_shares(seconds)})."
    )
    for name, one in measurement["contestants"].items():
        step = 1000 * measurement["tokens"] / one["tokens_per_second"]
        rate = measurement["rates"][one["precision"]] / 1e9
        yield (
            f"{where}: {name} takes {step:.1f} ms a step, and reaches {one['rate_share']:.1%} of "
            f"the {rate:,.0f} GFLOP/s of this machine's {one['precision']} matrix products."
        )
    yield from unequal(where, measurement["contestants"])
    yield from measurement["notes"]


def unequal(where: str, contestants: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Which contestants did not learn what the script learned."""
    script = contestants.get(PLAIN)
    for name, one in contestants.items():
        if script is None:
            return
        off = one["train_loss"] / script["train_loss"] - 1
        if abs(off) > EQUAL_LOSS:
            yield f"{where}: the training loss of {name} is {off:+.0%} against the script's."
        if one["parameters"] != script["parameters"]:
            yield (
                f"{where}: {name} has {one['parameters']:,} parameters, the script "
                f"{script['parameters']:,}."
            )


def _shares(seconds: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {1000 * value:.1f} ms" for name, value in seconds.items())
