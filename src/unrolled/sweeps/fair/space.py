"""What a fair study searches: each key's values, and the points that are tried."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from hydra.core.override_parser.types import IntervalSweep, Override
from omegaconf import DictConfig

from unrolled.errors import ConfigError
from unrolled.sweeps.search.space import interval_of


@dataclass(frozen=True)
class Dimension:
    """A searched key.

    Attributes:
        line: as an override.
        values: of a list, ``choice()`` or ``range()``; empty where it is an interval.
        low, high: the ends of an interval; whole numbers where the key takes nothing else.
        log: whether an interval is logarithmic.
    """

    key: str
    line: str
    values: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False

    @classmethod
    def of(cls, override: Override, config: DictConfig) -> "Dimension":
        """What an override sweeps over.

        Args:
            config: of a run, whose types say where only whole numbers can be.

        Raises:
            ConfigError: an interval that is empty, or that a logarithm cannot take.
        """
        key, line = override.get_key_element(), str(override.input_line)
        if isinstance(override.value(), IntervalSweep):
            low, high, log = interval_of(override, config)
            return cls(key, line, (), low, high, log)
        if not override.is_sweep_override():
            return cls(key, line, (line.partition("=")[2],))
        return cls(key, line, tuple(override.sweep_string_iterator()))

    def at(self, share: float) -> str:
        """The override for a point, from 0 to below 1 of the dimension."""
        if self.values:
            return f"{self.key}={self.values[int(share * len(self.values))]}"
        if isinstance(self.low, int) and isinstance(self.high, int):
            # Each whole number has the same share of the interval.
            low, high = (self.low - 0.5, self.high + 0.5)
            number = _between(low, high, share, self.log)
            return f"{self.key}={min(self.high, max(self.low, round(number)))}"
        return f"{self.key}={_between(self.low, self.high, share, self.log):.6g}"


def points(
    dimensions: Sequence[Dimension], count: int, sampler: str, seed: int, columns: int
) -> list[list[str]]:
    """The points to try, each as overrides.

    The first of more points are the points of fewer, and dimensions that several searches begin
    with have the same values in all of them, so that no search is luckier than another.

    Args:
        count: how many; a grid has all there are.
        columns: how many dimensions the largest of several searches has.

    Raises:
        ConfigError: a grid over an interval.
    """
    if sampler == "grid":
        for one in dimensions:
            if not one.values:
                raise ConfigError(
                    f"{one.line}: a grid takes lists, choice() and range(); write the values, or "
                    "take hydra.sweeper.sampler=quasi_random"
                )
        return [
            [f"{one.key}={value}" for one, value in zip(dimensions, values, strict=True)]
            for values in product(*(one.values for one in dimensions))
        ]
    return [
        [one.at(share) for one, share in zip(dimensions, row, strict=False)]
        for row in _shares(count, sampler, seed, columns)
    ]


def _between(low: float, high: float, share: float, log: bool) -> float:
    return float(low * (high / low) ** share) if log else low + share * (high - low)


def _shares(count: int, sampler: str, seed: int, columns: int) -> list[list[float]]:
    """Points of the unit cube."""
    if sampler == "random":
        import numpy as np

        drawn = np.random.default_rng(seed).random((count, columns))
    else:
        from scipy.stats import qmc

        drawn = qmc.Halton(columns, rng=seed).random(count)
    return [[float(share) for share in row] for row in drawn]
