"""Where a run's progress is shown: a terminal, a log, a notebook's cell, or nowhere."""

import io
import time
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.text import Text

# Seconds between two views of what is under way.
INTERVAL = 1.0
# Characters in a line of a notebook's cell.
WIDTH = 100
# Lasting lines that a cell shows: of thousands of runs nobody reads all, and each is a row.
MOST_LINES = 40
_HTML = (
    '<pre style="white-space:pre-wrap;line-height:1.3;margin:0;'
    "font-family:Menlo,'DejaVu Sans Mono',consolas,monospace\">{code}</pre>"
)


def progress_console(progress: bool) -> Console:
    """What shows how far runs have come.

    Args:
        progress: False: nothing is shown.
    """
    if not progress:
        return Console(file=io.StringIO(), quiet=True)
    console = Console()
    return NotebookConsole() if console.is_jupyter else console


class NotebookConsole(Console):
    """One output of a notebook's cell, which is replaced as runs get on, and so never floods."""

    def __init__(self) -> None:
        # A kernel forces colours, which would make it a terminal with bars of its own.
        super().__init__(
            file=io.StringIO(), width=WIDTH, force_jupyter=False, force_terminal=False
        )
        self.lines: list[RenderableType] = []
        self.live: RenderableType | None = None
        self.shown = ""
        self.handle: Any = None
        self.next = 0.0

    def print(self, *objects: Any, **options: Any) -> None:
        """Add a lasting line."""
        self.lines += objects
        self._refresh()

    def show(self, live: RenderableType | None) -> None:
        """Show what is under way below the lasting lines."""
        self.live = live
        # A notebook's page is sent each of them, and may be far away.
        if live is None or time.monotonic() >= self.next:
            self.next = time.monotonic() + INTERVAL
            self._refresh()

    def _refresh(self) -> None:
        from IPython.display import HTML, display

        html = self._html()
        if html == self.shown:
            return
        self.shown = html
        if self.handle is None:
            self.handle = display(HTML(html), display_id=True)
        else:
            self.handle.update(HTML(html))

    def _html(self) -> str:
        hidden = len(self.lines) - MOST_LINES
        parts = [*self.lines[-MOST_LINES:], *([] if self.live is None else [self.live])]
        if hidden > 0:
            parts.insert(0, Text(f"… and {hidden:,} lines before these", style="dim"))
        page = Console(file=io.StringIO(), width=WIDTH, record=True, force_jupyter=False)
        page.print(Group(*parts), highlight=False)
        return page.export_html(inline_styles=True, code_format=_HTML)
