"""An extension of griffe: examples and equations of docstrings keep their lines in the site.

Our docstrings have them as paragraphs, which Markdown would join and read as quotations.
"""

import re
from typing import Any

import griffe

# h_t = …, or c̃_t = …: a symbol, an equals sign, and what it is.
EQUATION = re.compile(r"^\s*[^\s=>]{1,12}(, \S+)* = ")


class Verbatim(griffe.Extension):
    """Fences examples and equations."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = fenced(obj.docstring.value)


def fenced(docstring: str) -> str:
    """The docstring, each paragraph of it that is an example or equations as a code block."""
    paragraphs = re.split(r"\n[ \t]*\n", docstring)
    return "\n\n".join(_fenced(one) for one in paragraphs)


def _fenced(paragraph: str) -> str:
    lines = paragraph.split("\n")
    if lines[0].startswith(">>> "):
        return f"```pycon\n{paragraph}\n```"
    if all(EQUATION.match(line) or line.startswith("    ") for line in lines):
        return f"```text\n{paragraph}\n```" if EQUATION.match(lines[0]) else paragraph
    return paragraph
