"""A live view of runs, read from their folders: it works under any launcher, and from any
terminal."""

import os
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from unrolled.runs.progress import PROGRESS, read_progress
from unrolled.runs.progress import Progress as RunProgress
from unrolled.runs.record import read_record

INTERVAL = 0.5
# A run that was last heard of this long ago (seconds) is not shown as under way.
SILENT = 120.0
# How far (seconds) the clock of a shared folder may be behind this machine's.
CLOCKS = 60.0
ENDED = ("finished", "failed", "interrupted", "pruned", "skipped")


class Display:
    """One line for each run under way, one for the whole, and a lasting line for each run that
    ended.

    Without a terminal only the lasting lines are printed.

    Args:
        folders: of the studies.
        total: how many runs there will be; None where that is not known.
        since: only what was written after this time counts (seconds since the epoch).
    """

    def __init__(
        self, folders: Iterable[Path], console: Console, *, total: int | None, since: float
    ) -> None:
        self.folders = list(folders)
        self.total = total
        self.since = since
        self.ended: dict[str, str] = {}
        self.seen: dict[str, int] = {}
        self.bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[where]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.lines: dict[str, TaskID] = {}
        self.whole = self.bars.add_task("all runs", total=total, where="")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> "Display":
        self.bars.start()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        self.update()
        self.bars.stop()

    def update(self) -> None:
        """Read the folders once and show what changed."""
        for run in self._changed():
            progress = read_progress(run)
            if progress is None or progress.updated < self.since:
                continue
            if progress.stage in ENDED:
                self._end(run.name, run, progress)
            elif time.time() - progress.updated < SILENT:
                self._show(run.name, progress)
        self.bars.update(
            self.whole,
            completed=len(self.ended),
            where=f"{len(self.ended)} of {self.total or '?'} runs",
        )

    def _changed(self) -> Iterator[Path]:
        """The runs that have written since the last look: a study has thousands that have not."""
        for folder in self.folders:
            if not folder.is_dir():
                continue
            for entry in os.scandir(folder):
                path = os.path.join(entry.path, PROGRESS)  # noqa: PTH118 - half the time
                try:
                    time_of = os.stat(path).st_mtime_ns  # noqa: PTH116
                except (FileNotFoundError, NotADirectoryError):
                    continue
                if time_of / 1e9 >= self.since - CLOCKS and self.seen.get(path) != time_of:
                    self.seen[path] = time_of
                    yield Path(entry.path)

    def _follow(self) -> None:
        while not self._stop.wait(INTERVAL):
            self.update()

    def _show(self, name: str, progress: RunProgress) -> None:
        where = progress.stage
        if progress.stage == "training":
            where = f"step {progress.step:,}/{progress.total_steps:,}"
            if progress.metric and progress.value is not None:
                where += f"  {progress.metric} {progress.value:.4g}"
            if progress.device not in (None, "cpu"):
                where += f"  {progress.device}"
            if progress.tokens_per_second:
                where += f"  {progress.tokens_per_second:,.0f} tokens/s"
        if name not in self.lines:
            self.lines[name] = self.bars.add_task(name, total=progress.total_steps, where=where)
        self.bars.update(
            self.lines[name], completed=progress.step, total=progress.total_steps, where=where
        )

    def _end(self, name: str, folder: Path, progress: RunProgress) -> None:
        if self.ended.get(name) == progress.stage:
            return
        self.ended[name] = progress.stage
        if name in self.lines:
            self.bars.remove_task(self.lines.pop(name))
        self.bars.console.print(
            self._line(name, folder, progress), highlight=False, soft_wrap=True
        )

    def _line(self, name: str, folder: Path, progress: RunProgress) -> str:
        count = rf"\[{len(self.ended)}/{self.total}] " if self.total and self.total > 1 else ""
        if progress.stage == "skipped":
            return f"{count}{name}  skipped, it is finished already"
        run = read_record(folder)
        if progress.stage == "pruned":
            return f"{count}{escape(name)}  {escape((run.error or {}).get('message', ''))}"
        if progress.stage in ("failed", "interrupted"):
            message = (run.error or {}).get("message", "").splitlines()
            why = escape(message[0]) if message else ""
            return f"{count}{escape(name)}  [red]{run.state}[/red]  {why}"
        shown = [
            f"{key} {run.metrics[key]:.4g}"
            for key in ("validation/perplexity", "test/perplexity")
            if key in run.metrics
        ]
        seconds = run.timing.get("total_seconds", 0.0)
        line = f"{count}{escape(name)}  {'  '.join(shown)}  {seconds:.0f} s"
        if continued := run.timing.get("continued"):
            line += f"  continued from step {continued[-1]['step']:,}"
        return line
