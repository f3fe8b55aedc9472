"""A series: one or more variables measured at regular steps of time, and how it is split."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property

import numpy as np
import numpy.typing as npt

from unrolled.data.corpus import SPLITS
from unrolled.data.splits import Examples, Fold, Split, share_out
from unrolled.errors import DataError

# Of a year, for time stamps as numbers.
SECONDS = 365.2425 * 24 * 3600


@dataclass(frozen=True)
class Series:
    """A series: one or more variables measured at regular steps of time.

    Attributes:
        name: of the data set.
        values: ``[time, variables]`` of float64, finite.
        variables: their names.
        targets: which of the variables are to be predicted.
        times: what each step is called, in order, such as ``1958-03``.
        season: steps after which a series tends to repeat, such as 12 for months; 1: none.
        unit: of the targets, such as ``ppm``; empty where it is not known.
        validation_fraction, test_fraction: of the steps, the latest being the test's.
        treated: what was done to the data, with its count (``missing values interpolated: 59``).

    Raises:
        DataError: a value is not finite, a target is no variable, or a fraction or the season is
            out of range.
    """

    name: str
    values: npt.NDArray[np.float64]
    variables: Sequence[str]
    targets: Sequence[str]
    times: Sequence[str]
    season: int = 1
    unit: str = ""
    validation_fraction: float = 0.1
    test_fraction: float = 0.2
    treated: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        bad = np.argwhere(~np.isfinite(self.values))
        if len(bad):
            time, variable = bad[0]
            raise DataError(
                f"dataset={self.name}: {self.variables[variable]} is "
                f"{self.values[time, variable]} at {self.times[time]}; a series has finite values"
            )
        for target in self.targets:
            if target not in self.variables:
                raise DataError(f"dataset={self.name}: the target {target} is no variable of it")
        if self.season < 1:
            raise DataError(f"dataset.season={self.season}: must be at least 1, which is none")
        for split in SPLITS[1:]:
            fraction = getattr(self, f"{split}_fraction")
            if not 0 < fraction < 1:
                raise DataError(f"dataset.{split}_fraction={fraction}: must be above 0, below 1")

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of all values, their names and times, and how they are to be split."""
        digest = hashlib.sha256()
        about = (
            list(self.variables),
            list(self.targets),
            list(self.times),
            self.season,
            self.validation_fraction,
            self.test_fraction,
            self.values.shape,
        )
        digest.update(repr(about).encode())
        digest.update(np.ascontiguousarray(self.values).data)
        return digest.hexdigest()

    @property
    def target_places(self) -> list[int]:
        """Which columns of ``values`` the targets are."""
        return [list(self.variables).index(target) for target in self.targets]

    def bounds(self, fold: Fold | None = None) -> dict[str, tuple[int, int]]:
        """The first step of each split, and the one behind its last; in order of time.

        Args:
            fold: of a cross-validation: the fold is predicted from what came before it, and what
                comes after it is in no split.

        Raises:
            DataError: there are too few steps.
            ConfigError: a number of folds that does not fit.
        """
        examples = Examples(len(self.values), None, None, f"dataset={self.name}")
        split = Split("time", self.validation_fraction, self.test_fraction)
        places = share_out(examples, split, SPLITS[1:], fold)
        return {name: (int(steps[0]), int(steps[-1]) + 1) for name, steps in places.items()}

    def axis(self) -> tuple[float, float]:
        """The first time as a number, and how much later the next is: years for dates."""
        first, last = (time_as_number(self.times[place]) for place in (0, -1))
        if first is None or last is None or len(self.times) < 2:
            return 0.0, 1.0
        return first, (last - first) / (len(self.times) - 1)


def parse_time(text: str) -> float | datetime | None:
    """A time stamp: a number, or a date such as ``1958-03-29``, with a time of day or without a
    day; None where it is neither."""
    try:
        return float(text)
    except ValueError:
        pass
    for date in (text, f"{text}-01"):
        try:
            moment = datetime.fromisoformat(date)
        except ValueError:
            continue
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None


def time_as_number(text: str) -> float | None:
    """A time stamp as a number, a date as a year with its fraction (``1958.24``)."""
    time = parse_time(text)
    if isinstance(time, datetime):
        start = datetime(time.year, 1, 1, tzinfo=UTC)
        return time.year + (time - start).total_seconds() / SECONDS
    return time
