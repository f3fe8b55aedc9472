"""What makes a measurement's figures unequal, in sentences made from the figures."""

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.peers.contest import PLAIN

# Losses that differ by more say that the contestants did not learn the same.
EQUAL_LOSS = 0.05


def notes(measurement: Mapping[str, Any]) -> Iterator[str]:
    """Who learned something else, has another size, or did not take part."""
    where = f"{measurement['work']}, threads: {measurement['threads']}"
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
