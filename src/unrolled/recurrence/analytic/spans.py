"""Spans of steps whose states stay in the processor's cache, and what else the passes share."""

from collections.abc import Iterator

from torch import Tensor

from unrolled.recurrence.steps import Steps

# oneDNN cannot add a product to what is there, which takes another pass and another 10 µs.
SMALLEST_PRODUCT = 4_000_000
# How many numbers of a state the factors are computed for at a time.
CACHED = 1 << 17


def first_rows(x: Tensor, rows: int) -> Tensor:
    """``x[:rows]``, which costs nothing where that is all."""
    return x if len(x) == rows else x[:rows]


def cached_spans(steps: Steps, size: int) -> Iterator[tuple[range, slice]]:
    """Runs of steps whose states stay in the cache, and their rows."""
    start = first = last = 0
    for stop, rows in enumerate(steps.sizes, 1):
        last += rows
        full = stop == len(steps.sizes) or (last - first + steps.sizes[stop]) * size > CACHED
        if full:
            yield range(start, stop), slice(first, last)
            start, first = stop, last
