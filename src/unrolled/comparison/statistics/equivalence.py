"""Practical equivalence: how probable it is that a difference lies within a margin."""

import math
from dataclasses import dataclass

from unrolled.comparison.statistics.means import Mean
from unrolled.errors import ConfigError


@dataclass(frozen=True)
class Margin:
    """A difference that makes no difference.

    Attributes:
        size: in the metric's unit, or, where ``relative``, a share of the other row's mean.
        text: as a person wrote it.
    """

    size: float
    relative: bool
    text: str

    @staticmethod
    def of(text: str) -> "Margin":
        """``1%`` is relative, ``0.05`` in the metric's unit.

        Raises:
            ConfigError: it is neither, or not above 0.
        """
        number = text.strip()
        relative = number.endswith("%")
        try:
            size = float(number.removesuffix("%")) / (100 if relative else 1)
        except ValueError:
            size = math.nan
        if not (math.isfinite(size) and size > 0):
            raise ConfigError(
                f"equivalence={text}: must be above 0, a share such as 1% of the baseline, or a "
                "difference in the metric's unit such as 0.05"
            )
        return Margin(
            size, relative, f"{number.removesuffix('%').strip()} %" if relative else number
        )

    def around(self, level: float) -> float:
        """The margin where the other row's mean is ``level``."""
        return self.size * abs(level) if self.relative else self.size


def probability_within(difference: Mean, margin: float) -> float:
    """The posterior probability that a difference lies within ± ``margin``.

    The posterior of a paired difference is Student's t around its mean, under the prior that
    prefers no value (Benavoli, Corani, Demšar & Zaffalon 2017, Time for a change: a tutorial for
    comparing multiple classifiers through Bayesian analysis, section 3); over folds its variance
    is the corrected one, as in their correlated t-test.
    """
    from scipy.special import stdtr

    if difference.error == 0:
        return float(abs(difference.mean) <= margin)
    above, below = (
        stdtr(difference.freedom, (end - difference.mean) / difference.error)
        for end in (margin, -margin)
    )
    return float(above - below)
