"""A comparison in a notebook's cell: the answer, the table, the notes, the pictures."""

import base64
import io
from collections.abc import Mapping
from importlib.resources import files
from typing import TYPE_CHECKING

from unrolled.comparison.page.table import table
from unrolled.comparison.results import Comparison, Note
from unrolled.runs.text import one_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Sharp enough for a cell's width; a notebook keeps its outputs.
_DPI = 90
# More pictures would bury the cells below; the report has all of them.
MOST_PICTURES = 8


def notebook_html(comparison: Comparison, pictures: "Mapping[str, Figure]") -> str:
    """HTML that stands by itself and takes the notebook's own colours; every text of a record is
    escaped.

    Args:
        pictures: by the names of their files, in order.
    """
    from jinja2 import Environment, StrictUndefined

    template = files("unrolled.comparison.page") / "templates" / "notebook.html"
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    shown = [*pictures.items()][:MOST_PICTURES]
    (rows,) = table(comparison).tables
    return environment.from_string(template.read_text(encoding="utf-8")).render(
        answer=one_line(comparison.answer),
        headings=rows.headings,
        lines=[*rows.body, *rows.foot],
        notes=[Note(one_line(note.text), note.loud) for note in comparison.notes],
        pictures=[(_title(name), _png(picture)) for name, picture in shown],
        more=[_title(name) for name in pictures if name not in dict(shown)],
    )


def _title(name: str) -> str:
    return name.removesuffix(".png").replace("_", " ")


def _png(picture: "Figure") -> str:
    """A picture as base64."""
    file = io.BytesIO()
    picture.savefig(file, format="png", dpi=_DPI)
    return base64.b64encode(file.getvalue()).decode("ascii")
