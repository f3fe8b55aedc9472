"""What a section of the page consists of, as data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Spec = dict[str, Any]


@dataclass(frozen=True)
class Chart:
    """A Vega-Lite specification of one view.

    Attributes:
        title: above it.
        spec: its data by name, where several charts show the same.
        caption: below it: what is drawn, and what is not.
        wide: whether it takes the page's whole width.
    """

    title: str
    spec: Spec
    caption: str = ""
    wide: bool = False


@dataclass(frozen=True)
class Cell:
    """A field of a table.

    Attributes:
        lines: the first is what it says, the others qualify it.
        order: what the column is sorted by; None: by the first line.
        marks: class names.
    """

    lines: Sequence[str]
    order: float | None = None
    marks: str = ""


@dataclass(frozen=True)
class Table:
    """A table that is sorted by a click on a heading.

    Attributes:
        headings: each with whether its column is of words.
        body: the lines that are sorted.
        foot: those that stay below.
    """

    headings: Sequence[tuple[str, bool]]
    body: Sequence[Sequence[Cell]]
    foot: Sequence[Sequence[Cell]] = ()
    title: str = ""


@dataclass(frozen=True)
class Quoted:
    """Text that is shown as it stands."""

    title: str
    text: str


@dataclass(frozen=True)
class Section:
    """A part of the page with a heading of its own.

    Attributes:
        name: of its anchor.
        data: what several of its charts show, by name.
    """

    name: str
    title: str
    intro: str = ""
    charts: Sequence[Chart] = ()
    tables: Sequence[Table] = ()
    texts: Sequence[Quoted] = ()
    data: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to show."""
        return not (self.charts or self.tables or self.texts)
