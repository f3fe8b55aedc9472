"""Numbers as people read them: as many digits as the spread of the seeds allows."""

import math
from collections.abc import Iterable

from unrolled.comparison.statistics import Estimate

_DIGITS = 4
_MORE_DIGITS = 1  # where intervals are narrower than the four digits show


def decimals_for(estimates: Iterable[Estimate]) -> int:
    """The decimals of a column: four digits of its smallest mean, five for narrow intervals."""
    estimates = list(estimates)
    sizes = [abs(one.mean) for one in estimates if one.mean]
    if not sizes:
        return 3
    wanted = _DIGITS - 1 - math.floor(math.log10(min(sizes)))
    widths = [
        one.high - one.low
        for one in estimates
        if one.low is not None and one.high is not None and one.high > one.low
    ]
    needed = max((1 - math.floor(math.log10(width)) for width in widths), default=wanted)
    return min(max(wanted, min(needed, wanted + _MORE_DIGITS), 0), 9)


def number(value: float | None, decimals: int) -> str:
    """``5.612``, or a dash for none."""
    return "-" if value is None else f"{value:,.{decimals}f}"


def signed(value: float, decimals: int) -> str:
    """``+0.042``; a value that rounds to zero has no sign."""
    if round(value, decimals) == 0:
        return f"{0:.{decimals}f}"
    return f"{value:+,.{decimals}f}"


def interval(low: float | None, high: float | None, decimals: int) -> str:
    """``[5.587, 5.640]``; empty where there is none."""
    if low is None or high is None:
        return ""
    return f"[{number(low, decimals)}, {number(high, decimals)}]"


def p_value(p: float) -> str:
    """``p = 0.012``; never rounded up to 1 or down to 0."""
    if p < 0.001:
        return "p < 0.001"
    return f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def duration(seconds: float | None) -> str:
    """Seconds, with a decimal below ten."""
    if seconds is None:
        return "-"
    return f"{seconds:.1f}" if seconds < 10 else f"{seconds:,.0f}"


def short(value: float | None) -> str:
    """A count in three digits, ``187K`` or ``2.41M``, or a dash."""
    if value is None:
        return "-"
    for limit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "K")):
        # What would round up to the next letter already takes it.
        if value >= 0.9995 * limit:
            return f"{value / limit:#.3g}".rstrip(".") + letter
    return f"{value:.0f}"


def whole(value: float | None) -> str:
    """A count with thousands separators, or a dash."""
    return "-" if value is None else f"{round(value):,}"
