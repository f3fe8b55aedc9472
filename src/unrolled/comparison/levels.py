"""Which levels (baselines, published figures) a picture draws, and which it can only name."""

import math
from collections.abc import Sequence

from unrolled.comparison.references import Reference
from unrolled.comparison.results import Comparison

_FAR = 1.35  # a level this far beyond the values would flatten them


def levels_of(comparison: Comparison, metric: str) -> dict[str, float]:
    """What the runs are read against in ``metric``, by label."""

    def level(reference: Reference) -> float | None:
        return reference.value if metric == comparison.metric else reference.other

    levels = {one.label: level(one) for one in comparison.references}
    return {name: x for name, x in levels.items() if x is not None and math.isfinite(x)}


def split_levels(
    levels: dict[str, float], values: Sequence[float]
) -> tuple[dict[str, float], dict[str, float]]:
    """The levels that are drawn among these values, and those that would flatten them."""
    near = {
        name: level
        for name, level in levels.items()
        if values and min(values) / _FAR <= level <= max(values) * _FAR
    }
    return near, {name: level for name, level in levels.items() if name not in near}
