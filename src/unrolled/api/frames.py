"""Rows as a data frame of pandas or of Polars, as the person has it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.util import find_spec
from typing import Any, Literal

from unrolled.errors import ConfigError

Library = Literal["pandas", "polars"]


def make_frame(rows: Sequence[Mapping[str, Any]], library: Library | None = None) -> Any:
    """A data frame with a column for each key that a row has, in the order of their first use.

    Args:
        library: None: pandas where it is installed, and Polars otherwise.

    Raises:
        ConfigError: another library, or one that is not installed.
    """
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: _of_one_type([row.get(name) for row in rows]) for name in names}
    if library not in (None, "pandas", "polars"):
        raise ConfigError(f"frame={library}: pandas or polars")
    there = find_spec("pandas") is not None
    if library == "pandas" and not there:
        raise ConfigError("frame=pandas: pandas is not installed; install it, or take polars")
    if there and library != "polars":
        import pandas

        return pandas.DataFrame(columns)
    import polars

    return polars.DataFrame(columns, strict=False)


def _of_one_type(values: list[Any]) -> list[Any]:
    """Values of one type, or numbers; of several types all as text, so that none is lost."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        return [None if value is None else float(value) for value in values]
    if len(kinds) <= 1 and kinds <= {int, float, str, bool, datetime, list}:
        return values
    return [None if value is None else str(value) for value in values]
