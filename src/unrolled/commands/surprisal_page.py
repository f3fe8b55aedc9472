"""Surprisals as an HTML page that needs nothing from the net and runs no script."""

from collections.abc import Sequence
from html import escape
from typing import TextIO

from unrolled.commands.anomalies import Line
from unrolled.commands.generate import heading
from unrolled.commands.shades import LEVELS, level, shade
from unrolled.runs.text import one_line, printable
from unrolled.tasks.generation import Surprisal
from unrolled.training.load import StoredRun

STYLE = """
body { font: 16px/1.5 sans-serif; margin: 2em auto; max-width: 60em; padding: 0 1em }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font: 15px/1.8 monospace }
pre span { padding: 2px 0 }
pre .u { outline: 2px solid #0057b7; outline-offset: -1px }
pre i { opacity: .5; font-style: normal }
td, th { text-align: left; vertical-align: top; padding: 2px 1em 2px 0 }
td:nth-child(-n+3) { text-align: right }
"""


class Page:
    """Writes a page token by token; ``close`` ends it.

    Nothing of a text, a token or a run's name is taken as markup, and the page's own policy lets
    no script run and nothing be loaded.
    """

    def __init__(self, out: TextIO, title: str, full: float) -> None:
        self.out = out
        self.full = full
        self.section = 0
        levels = "".join(
            f".s{place} {{ background: {shade(place)[0]}; color: {shade(place)[1]} }}\n"
            for place in range(LEVELS + 1)
        )
        scale = "".join(
            f'<span class="s{place}">&nbsp;{full * place / LEVELS:.1f}&nbsp;</span>'
            for place in range(0, LEVELS + 1, 2)
        )
        out.write(
            '<!DOCTYPE html>\n<html lang="en">\n<meta charset="utf-8">\n'
            '<meta http-equiv="Content-Security-Policy" '
            "content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
            f"<title>{_text(title)}</title>\n<style>{STYLE}{levels}</style>\n"
            f"<h1>{_text(title)}</h1>\n<p>Bits: {scale} or more. A frame marks an unusual token; "
            "point at a token for its figures.</p>\n"
        )

    def begin(self, run: StoredRun) -> None:
        """A run begins."""
        self.section += 1
        self.line = 0
        # A line break that follows the tag is none of the text's.
        self.out.write(f"<h2>{_text(heading(run))}</h2>\n<pre>\n")

    def token(self, line: int, token: Surprisal, unusual: bool) -> None:
        """The next token."""
        names = f"s{level(token.bits, self.full)}" + (" u" if unusual else "")
        anchor = ""
        if line != self.line:
            self.line = line
            anchor = f' id="{self._anchor(line)}"'
        text = _text(token.text or "\N{REPLACEMENT CHARACTER}").replace("\n", "<i>↵</i>\n")
        hover = "\n".join(
            [
                f"“{one_line(token.text)}” {token.bits:.2f} bits, rank {token.rank:,}",
                *(f"“{one_line(other)}” {100 * p:.1f} %" for other, p in token.alternatives),
            ]
        )
        hover = _text(hover).replace("\n", "&#10;")
        self.out.write(f'<span{anchor} class="{names}" title="{hover}">{text}</span>')

    def end(self, sentences: Sequence[str], lines: Sequence[tuple[Line, float]]) -> None:
        """The run's figures, and its most surprising lines with how usual they are."""
        self.out.write("</pre>\n")
        self.out.writelines(f"<p>{_text(sentence)}</p>\n" for sentence in sentences)
        if lines:
            self.out.write("<table><tr><th>line<th>bits<th>as surprising<th>text</tr>\n")
            for line, share in lines:
                self.out.write(
                    f'<tr><td><a href="#{self._anchor(line.number)}">{line.number}</a>'
                    f"<td>{line.bits:.2f}<td>{100 * share:.2f} %<td>{_text(line.text)}</tr>\n"
                )
            self.out.write("</table>\n")

    def close(self) -> None:
        """The page is whole."""
        self.out.write("</html>\n")

    def _anchor(self, line: int) -> str:
        return f"r{self.section}-{line}"


def _text(text: str) -> str:
    """Text that is not markup, in elements and in quoted attributes."""
    return escape(printable(text))
