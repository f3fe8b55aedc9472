"""A series: one or more variables measured at regular steps of time."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from unrolled.errors import DataError


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
        validation_fraction, test_fraction: of the steps, the latest being the test's.
        treated: what was done to the data, with its count (``missing values interpolated: 59``).

    Raises:
        DataError: a value is not finite, or a target is no variable.
    """

    name: str
    values: npt.NDArray[np.float64]
    variables: Sequence[str]
    targets: Sequence[str]
    times: Sequence[str]
    season: int = 1
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
