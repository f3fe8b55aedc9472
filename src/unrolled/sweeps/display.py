"""A live view of runs, read from their folders: it works under any launcher, and from any
terminal."""

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Protocol, runtime_checkable

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from unrolled.runs.progress import PROGRESS, read_progress
from unrolled.runs.progress import Progress as RunProgress
from unrolled.runs.spec import RunSpec
from unrolled.runs.status import run_status
from unrolled.sweeps.lines import end_line, one_line, recorded_end, where_line
from unrolled.training.run import Outcome

INTERVAL = 0.5
# A run that last wrote this long ago (seconds) is not shown as under way.
SILENT = 120.0
# How far (seconds) the clock of a shared folder may be behind this machine's.
CLOCKS = 60.0
# Without a terminal: seconds until the first line of a run under way, and between two.
FIRST_REPORT, REPORT_INTERVAL = 10.0, 30.0
ENDED = ("finished", "failed", "interrupted", "paused", "pruned", "skipped")

log = logging.getLogger(__name__)


@runtime_checkable
class Page(Protocol):
    """A console that shows the lines of runs under way itself, as a notebook does."""

    def show(self, live: RenderableType | None) -> None:
        """Replace what was shown last by ``live``; None: there is nothing under way."""
        ...


class Display:
    """One line for each run under way, one for the whole, and a lasting line for each run that
    ended.

    Without a terminal each run under way has a lasting line every half a minute. Whoever makes the
    runs calls ``begin`` and ``end``; runs of other processes are seen in the folders to follow.
    No fault of the view disturbs the runs.

    Args:
        total: how many runs there will be; None where that is not known.
        follow: the folders of studies whose runs other processes make.
        since: only what was written after this time counts (seconds since the epoch); None: now.
    """

    def __init__(
        self,
        console: Console,
        *,
        total: int | None,
        follow: Iterable[Path] = (),
        since: float | None = None,
    ) -> None:
        self.console = console
        self.total = total
        self.followed = list(follow)
        self.since = time.time() if since is None else since
        self.ended = 0
        # The folders of runs that have begun, of others' runs that have ended, and of those under
        # way with what they last wrote, their bars, and when they are reported next.
        self.begun: dict[RunSpec, Path] = {}
        self.others_ended: set[Path] = set()
        self.under_way: dict[Path, RunProgress] = {}
        self.lines: dict[Path, TaskID] = {}
        self.reports: dict[Path, float] = {}
        self.written: dict[str, int] = {}
        self.bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[where]}", markup=False),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.whole = self.bars.add_task("all runs", total=total, where="")
        self.faulty = False
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Display":
        self._safely(self.bars.start)
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
        self._safely(self.bars.stop)
        if isinstance(self.console, Page):
            self._safely(partial(self.console.show, None))

    def begin(self, spec: RunSpec) -> None:
        """Show a run from now on."""

        def begin() -> None:
            self.begun[spec] = run_status(spec, locked=True).folder

        self._safely(begin)

    def end(self, spec: RunSpec, outcome: Outcome) -> None:
        """Print a run's lasting line."""

        def end() -> None:
            folder = outcome.folder or self.begun.get(spec, spec.folder)
            self.begun.pop(spec, None)
            if spec.study in self.followed:
                # It may have been seen there already.
                self._update()
                if folder in self.others_ended:
                    return
            self._end(folder, outcome.status, outcome.message)
            self._count()

        self._safely(end)

    def pause(self, spec: RunSpec) -> None:
        """Show a run no more until it goes on."""

        def pause() -> None:
            folder = self.begun.pop(spec, None)
            if folder is not None:
                self._hide(folder)

        self._safely(pause)

    def say(self, text: str) -> None:
        """Print a lasting line of its own."""
        self._safely(lambda: self._print(Text(one_line(text))))

    def refused(self, name: str, message: str) -> None:
        """Print the lasting line of what could not become a run."""
        self._safely(lambda: self._end(Path(name), "failed", message))

    def update(self) -> None:
        """Read the folders once and show what changed."""
        self._safely(self._update)

    def _update(self) -> None:
        for folder in self._changed():
            progress = read_progress(folder)
            if progress is None or progress.updated < self.since:
                continue
            if progress.stage not in ENDED:
                self.others_ended.discard(folder)
                self.under_way[folder] = progress
                self._show(folder, progress)
            elif folder.parent in self.followed and folder not in self.others_ended:
                self.others_ended.add(folder)
                self._end(folder, *recorded_end(folder, progress.stage))
            else:
                self._hide(folder)
        self._count()
        if isinstance(self.console, Page):
            self.console.show(self.bars.get_renderable())
        elif not self.console.is_terminal:
            self._report()

    def _changed(self) -> Iterator[Path]:
        """The runs that have written since the last look: a study has thousands that have not."""
        for study in self.followed:
            if not study.is_dir():
                continue
            for entry in os.scandir(study):
                if self._has_written(entry.path, after=self.since - CLOCKS):
                    yield Path(entry.path)
        for folder in self.begun.values():
            if self._has_written(str(folder)):
                yield folder

    def _has_written(self, folder: str, after: float = 0.0) -> bool:
        path = os.path.join(folder, PROGRESS)  # noqa: PTH118 - half the time
        try:
            written = os.stat(path).st_mtime_ns  # noqa: PTH116
        except (FileNotFoundError, NotADirectoryError):
            return False
        if written / 1e9 < after or self.written.get(path) == written:
            return False
        self.written[path] = written
        return True

    def _watch(self) -> None:
        while not self._stop.wait(INTERVAL):
            self.update()

    def _show(self, folder: Path, progress: RunProgress) -> None:
        if time.time() - progress.updated >= SILENT:
            return
        where, total = where_line(progress), progress.total_steps
        if folder not in self.lines:
            name = one_line(folder.name)
            self.lines[folder] = self.bars.add_task(name, total=total, where=where)
        self.bars.update(self.lines[folder], completed=progress.step, total=total, where=where)

    def _hide(self, folder: Path) -> None:
        self.under_way.pop(folder, None)
        self.reports.pop(folder, None)
        if folder in self.lines:
            self.bars.remove_task(self.lines.pop(folder))

    def _report(self) -> None:
        now = time.monotonic()
        for folder, progress in self.under_way.items():
            if now >= self.reports.setdefault(folder, now + FIRST_REPORT):
                self.reports[folder] = now + REPORT_INTERVAL
                self._print(Text(f"{one_line(folder.name)}  {where_line(progress)}"))

    def _end(self, folder: Path, status: str, message: str) -> None:
        self.ended += 1
        self._hide(folder)
        count = f"[{self.ended}/{self.total}] " if self.total and self.total > 1 else ""
        self._print(Text(count) + end_line(folder, status, message))

    def _count(self) -> None:
        where = f"{self.ended} of {self.total or '?'} runs"
        self.bars.update(self.whole, completed=self.ended, where=where)

    def _print(self, line: Text) -> None:
        self.bars.console.print(line, soft_wrap=True)

    def _safely(self, action: Callable[[], None]) -> None:
        """Do something for the view, as long as nothing went wrong with it."""
        with self._lock:
            if self.faulty:
                return
            try:
                action()
            # SystemExit is what rich makes of a pipe that nobody reads.
            except (Exception, SystemExit) as error:  # noqa: BLE001 - the runs go on
                self.faulty = True
                self._stop.set()
                with contextlib.suppress(Exception):
                    self.bars.stop()
                log.warning(
                    "the live view stopped, the runs go on (%s: %s)",
                    type(error).__name__,
                    one_line(str(error)),
                )
