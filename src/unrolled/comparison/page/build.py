"""The page from its sections: the template, the charts' data as JSON, the chart library, once."""

import json
import math
import re
from functools import cache
from importlib.resources import files
from typing import Any

from unrolled.comparison.grouping import CELL
from unrolled.comparison.metrics import metric_in_words
from unrolled.comparison.page import marks
from unrolled.comparison.page.by_number import by_number
from unrolled.comparison.page.curves import curves
from unrolled.comparison.page.diagnostics import find_diagnostics, samples
from unrolled.comparison.page.parts import Section
from unrolled.comparison.page.quality import profile, quality
from unrolled.comparison.page.repeat import left_out, repeat
from unrolled.comparison.page.run_figures import diagnostics, run_figures
from unrolled.comparison.page.searches import expected, searches
from unrolled.comparison.page.table import details, table
from unrolled.comparison.page.tradeoffs import tradeoffs
from unrolled.comparison.results import Comparison, Note
from unrolled.runs.text import one_line

_TEMPLATES = files("unrolled.comparison.page") / "templates"
# What would end a script, or begin a comment in it, in any HTML parser.
_MARKUP = re.compile("[<>&\u2028\u2029]")


def page(comparison: Comparison) -> str:
    """The whole page."""
    from jinja2 import DictLoader, Environment, StrictUndefined

    sections = build_sections(comparison)
    texts = {
        path.name: path.read_text(encoding="utf-8")
        for path in _TEMPLATES.iterdir()
        if path.is_file()
    }
    environment = Environment(
        loader=DictLoader(texts),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    charts = [chart for section in sections for chart in section.charts]
    rows = comparison.rows[: marks.MOST_ROWS]
    return environment.get_template("page.html").render(
        title=_title(comparison),
        answer=one_line(comparison.answer),
        basis=basis(comparison),
        notes=[Note(one_line(note.text), note.loud) for note in comparison.notes],
        sections=sections,
        rows=[one_line(row.label) for row in rows] if charts else [],
        payload=embedded(
            {
                "charts": [chart.spec for chart in charts],
                "data": {k: v for section in sections for k, v in section.data.items()},
            }
        ),
        library=library() if charts else "",
        style=texts["page.css"],
        script=texts["page.js"],
    )


def build_sections(comparison: Comparison) -> list[Section]:
    """What the page shows, in order; a section that has nothing to show is not among them."""
    found = find_diagnostics(comparison.rows)
    sections = [
        table(comparison),
        quality(comparison),
        by_number(comparison),
        curves(comparison),
        tradeoffs(comparison),
        details(comparison),
        expected(comparison),
        searches(comparison),
        profile(comparison),
        run_figures(comparison),
        diagnostics(comparison, found),
        samples(comparison),
        left_out(comparison),
        repeat(comparison),
    ]
    return [section for section in sections if not section.empty]


def basis(comparison: Comparison) -> str:
    """What the answer rests on, in a sentence."""
    runs, rows = len(comparison.runs), len(comparison.rows)
    what = "cell" if list(comparison.keys) == [CELL] else "row"
    tasks = dict.fromkeys(r.description.name.replace("_", " ") for r in comparison.records)
    data = dict.fromkeys(str(r.data.get("name") or "data") for r in comparison.records)
    left = len(comparison.left_out)
    without = f"; {left} more could not be used" if left else ""
    warned = sum(note.loud for note in comparison.notes)
    warnings = f", and there {_count(warned, 'warning', 'is', 'are')} below" if warned else ""
    return one_line(
        f"It rests on {_count(runs, 'finished run')} of {_count(rows, what)} "
        f"({', '.join([*tasks][:3])} on {', '.join([*data][:3])}){without}{warnings}."
    )


def embedded(value: Any) -> str:
    """JSON that stands in a script element as it is: no mark of HTML in it, and no number that
    JSON lacks."""
    text = json.dumps(_finite(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return _MARKUP.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


@cache
def library() -> str:
    """Vega, Vega-Lite and vega-embed as one script."""
    import vl_convert

    text: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    # Strings in a script must not end its element.
    return text.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float):
        # More digits than a chart can show would make up much of the page.
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


def _count(number: int, word: str, one: str = "", many: str = "") -> str:
    """``1 run``, ``3 runs``; with a verb before."""
    verb = one if number == 1 else many
    return f"{verb} {number:,} {word}{'' if number == 1 else 's'}".strip()


def _title(comparison: Comparison) -> str:
    names = ", ".join(folder.resolve().name or str(folder) for folder in comparison.folders)
    return one_line(f"{names}: {metric_in_words(comparison.metric)}")
