"""Corrected p-values, and at which level a correction decides about each."""

from collections.abc import Sequence

SIGNIFICANCE = 0.05


def holm(p_values: Sequence[float], untested: int = 0) -> list[tuple[float, float]]:
    """Holm's step-down corrected p-values (Holm 1979, A simple sequentially rejective multiple
    test procedure), in the order given, and for each the significance level at which the procedure
    decides about it.

    That is 0.05 / m for the smallest of m p-values, 0.05 / (m - 1) for the next, until one is not
    below its level: all from there on are decided at that level. So an interval of confidence
    1 - level leaves 0 out exactly where the corrected p-value is below 0.05.

    Args:
        untested: further tests that count, though their p-values are not known: none of them is
            taken to be rejected.
    """
    count = len(p_values) + untested
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    corrected = [(0.0, 0.0)] * len(p_values)
    largest, level, rejecting = 0.0, SIGNIFICANCE, True
    for rank, index in enumerate(order):
        left = count - rank
        largest = max(largest, min(1.0, left * p_values[index]))
        if rejecting:
            level = SIGNIFICANCE / left
            rejecting = largest < SIGNIFICANCE
        corrected[index] = (largest, level)
    return corrected
