"""What seeds, folds and data sets say, and how sure it is. docs/statistics.md has the sources.

means.py: means and their intervals; differences.py: paired differences and verdicts;
corrections.py: many p-values; power.py: what a number of pairs can show; effects.py: how large
a difference is; ranks.py: several data sets.
"""

from unrolled.comparison.statistics.corrections import SIGNIFICANCE
from unrolled.comparison.statistics.differences import (
    NO_DIFFERENCE,
    Difference,
    paired_differences,
)
from unrolled.comparison.statistics.equivalence import Margin
from unrolled.comparison.statistics.means import Estimate, estimate

__all__ = [
    "NO_DIFFERENCE",
    "SIGNIFICANCE",
    "Difference",
    "Estimate",
    "Margin",
    "estimate",
    "paired_differences",
]
