"""Numbers and texts as people read them: as many digits as the spread of the seeds allows."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from unrolled.comparison.statistics import SIGNIFICANCE, Estimate
from unrolled.runs.task import Metric

_DIGITS = 4
_HUGE = 1e7
_MORE_DIGITS = 1  # where intervals are narrower than the four digits show


@dataclass(frozen=True)
class Figures:
    """How the figures of a metric are written, all of a table alike.

    Args:
        spec: in Python's format language.
    """

    spec: str

    @staticmethod
    def of(metric: Metric, estimates: Iterable[Estimate]) -> "Figures":
        """The metric's own format, or, where that counts significant digits, as many decimals as
        the estimates need."""
        if metric.format[-1:] in ("g", "G", ""):
            return Figures(f",.{decimals_for(estimates)}f")
        return Figures(metric.format)

    def number(self, value: float | None) -> str:
        """``5.612``, ``inf``, or a dash for none."""
        if value is None:
            return "-"
        # What has more digits than a person reads came from a run that was diverging.
        huge = _HUGE <= abs(value) < math.inf
        return f"{value:.4g}" if huge else format(value, self.spec)

    def signed(self, value: float) -> str:
        """``+0.042``; a value that rounds to zero has no sign."""
        text = self.number(abs(value))
        if not any(digit in text for digit in "123456789") and math.isfinite(value):
            return text
        return f"{'-' if value < 0 else '+'}{text}"

    def interval(self, low: float | None, high: float | None) -> str:
        """``[5.587, 5.640]``; empty where there is none."""
        if low is None or high is None:
            return ""
        return f"[{self.number(low)}, {self.number(high)}]"


def decimals_for(estimates: Iterable[Estimate]) -> int:
    """The decimals of a column: four digits of its smallest mean, five for narrow intervals."""
    estimates = list(estimates)
    sizes = [abs(one.mean) for one in estimates if one.mean and math.isfinite(one.mean)]
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


def listed(names: Iterable[str], most: int = 6) -> str:
    """``a, b and c``, or the first few and how many more."""
    names = list(names)
    shown = names[:most]
    if len(names) > len(shown):
        return f"{', '.join(shown)} and {len(names) - len(shown):,} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def p_value(p: float) -> str:
    """``p = 0.012``; never rounded up to 1, down to 0, or to the level of significance."""
    if p < 0.001:
        return "p < 0.001"
    if p < SIGNIFICANCE <= round(p, 3):
        return f"p < {SIGNIFICANCE}"
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
    return "-" if value is None else f"{value:,.0f}"


def percent(share: float) -> str:
    """``97 %``; never rounded to what is certain or impossible."""
    if 0 < share < 0.01:
        return "below 1 %"
    return "above 99 %" if 0.99 < share < 1 else f"{100 * share:.0f} %"
