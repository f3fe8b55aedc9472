"""The series that come with statsmodels: weekly CO2 over Mauna Loa, and yearly sunspots."""

from typing import Any, Literal

import numpy as np

from unrolled.data.series import Series
from unrolled.data.series_files import Missing, treat_missing
from unrolled.errors import DataError


def load_co2(
    name: str,
    every: Literal["week", "month"],
    missing: Missing,
    validation_fraction: float,
    test_fraction: float,
) -> Series:
    """CO2 over Mauna Loa from March 1958 to December 2001, in ppm (Keeling & Whorf 2004).

    Args:
        every: a value a week, of which 59 are missing, or the mean of each month's, of which 5
            are.
        missing: see ``load_series``.

    Raises:
        DataError: statsmodels is not installed, or missing values are refused.
    """
    table = _load("co2", name)
    values = table["co2"]
    if every == "month":
        values = values.resample("MS").mean()
    column = values.to_numpy(np.float64)[:, None]
    if missing == "refuse" and (count := int(np.isnan(column).sum())):
        raise DataError(
            f"dataset={name}: {count} of {len(column):,} values are missing; choose "
            "dataset.missing=interpolate or dataset.missing=drop"
        )
    treated: dict[str, int] = {}
    column, kept = treat_missing(column, missing, treated)
    written = "%Y-%m" if every == "month" else "%Y-%m-%d"
    return Series(
        name,
        column,
        ["co2"],
        ["co2"],
        [str(values.index[step].strftime(written)) for step in kept],
        12 if every == "month" else 52,
        "ppm",
        validation_fraction,
        test_fraction,
        treated,
    )


def load_sunspots(
    name: str, season: int, validation_fraction: float, test_fraction: float
) -> Series:
    """The yearly number of sunspots from 1700 to 2008 (National Geophysical Data Center).

    Args:
        season: a cycle of the sun takes about 11 years.

    Raises:
        DataError: statsmodels is not installed.
    """
    table = _load("sunspots", name)
    return Series(
        name,
        table["SUNACTIVITY"].to_numpy(np.float64)[:, None],
        ["sunspots"],
        ["sunspots"],
        [f"{year:.0f}" for year in table["YEAR"]],
        season,
        "sunspots",
        validation_fraction,
        test_fraction,
    )


def _load(module: str, name: str) -> Any:
    """A data set's table, of pandas."""
    try:
        import statsmodels.datasets as sets
    except ModuleNotFoundError as error:
        raise DataError(
            f"dataset={name} needs the library statsmodels: pip install 'unrolled[series]'"
        ) from error
    return getattr(sets, module).load_pandas().data
