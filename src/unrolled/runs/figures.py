"""What a task measures besides single numbers, as plain data in a record, drawn by whoever shows
it: a confusion matrix, a metric by length, a forecast."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

Numbers = Sequence[float]


@dataclass(frozen=True)
class Matrix:
    """Counts by row and column, such as a confusion matrix.

    Attributes:
        rows, columns: their labels.
        values: ``[rows, columns]``.
        row_title, column_title: what the labels are.
    """

    rows: Sequence[str]
    columns: Sequence[str]
    values: Sequence[Numbers]
    row_title: str = "true class"
    column_title: str = "predicted class"


@dataclass(frozen=True)
class Curve:
    """A metric by something else, such as accuracy by length.

    Attributes:
        x, y: as many as one another.
        marks: what to mark on the x axis: its label and its place, such as the longest length of
            training.
        logarithmic: whether the y axis is.
    """

    x: Numbers
    y: Numbers
    x_title: str
    y_title: str
    marks: Mapping[str, float]
    logarithmic: bool = False


@dataclass(frozen=True)
class Forecast:
    """A stretch of a series: what was known, what came, and what was predicted.

    Attributes:
        history: the values before the forecast.
        truth, predicted: as many as one another.
        title: of the values.
        first: the label of the history's first value, and ``step`` how much later the next is
            called, as numbers.
    """

    history: Numbers
    truth: Numbers
    predicted: Numbers
    title: str
    first: float = 0
    step: float = 1


Figure = Matrix | Curve | Forecast
_KINDS: dict[str, type[Figure]] = {kind.__name__: kind for kind in (Matrix, Curve, Forecast)}


def to_plain(figure: Figure) -> dict[str, Any]:
    """Plain containers, for a record."""
    return {"kind": type(figure).__name__, **asdict(figure)}


def from_plain(values: Mapping[str, Any]) -> Figure:
    """What ``to_plain`` gave.

    Raises:
        KeyError, TypeError: it is something else.
    """
    options = dict(values)
    return _KINDS[options.pop("kind")](**options)
