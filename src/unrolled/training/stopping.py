"""Ending a run between two steps, with nothing lost: asked by a person, a scheduler, or the clock.

A handler that raised at once would do so anywhere, in the middle of an update or in a finalizer,
where Python drops it.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from unrolled.errors import PausedError, TimeLimitError

# Seconds that a run over its limit has to come to a step's end.
GRACE = 60.0


class StopRequest:
    """Whether the run was asked to end, and by what.

    Args:
        time_limit: seconds from now after which the run has taken too long; None: no limit.
        pause_at: the step after whose validation the run waits for others; None: it does not.
    """

    def __init__(self, time_limit: float | None = None, pause_at: int | None = None) -> None:
        self.time_limit = time_limit
        self.pause_at = pause_at
        self.deadline = None if time_limit is None else time.monotonic() + time_limit
        self.asked = False
        self.interrupt = _Interrupt()

    @property
    def due(self) -> bool:
        """Whether to end at the next chance."""
        return self.asked or self.late

    @property
    def late(self) -> bool:
        """Whether the time is up."""
        return self.deadline is not None and time.monotonic() >= self.deadline

    def pauses_at(self, step: int) -> bool:
        """Whether the run waits for others before the step after ``step``."""
        return self.pause_at is not None and step >= self.pause_at

    def listen(self) -> None:
        """Take Ctrl-C and SIGTERM as requests; a second one ends the run at once."""
        # Python allows handlers in the main thread alone; elsewhere the caller has its own.
        if _in_main_thread():
            if isinstance(before := signal.getsignal(signal.SIGINT), _Interrupt):
                self.interrupt = before
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, self._ask)

    def end(self, step: int) -> None:
        """Leave the run.

        Raises:
            PausedError: the run waits for others.
            TimeLimitError: the time is up.
            KeyboardInterrupt: the run was asked to end.
        """
        if self.pauses_at(step) and not self.due:
            raise PausedError(f"stopped at step {step}; it goes on if few are better")
        if self.time_limit is None or self.asked or not self.late:
            # Not asked here: another rank was.
            raise KeyboardInterrupt(f"stopped at step {step}")
        raise TimeLimitError(
            f"not done within time_limit_minutes={self.time_limit / 60:g}, at step {step}; "
            "retry_failed=true goes on from there"
        )

    def _ask(self, *_: Any) -> None:
        if self.asked:
            self.interrupt.end("stopped at once")
        self.asked = True
        # A run of a sweep is stopped by the sweep, which says so once for all. Not by print, which
        # a handler may interrupt in the middle of another.
        if multiprocessing.parent_process() is None:
            os.write(2, b"stopping after this step; again to end now\n")


@contextlib.contextmanager
def interrupts_stay() -> Iterator[None]:
    """Let an interrupt that ends the block do so as one, whatever a library made of it.

    A C extension that is being imported may say ImportError, and a trainer that is torn down
    before it is set up may lack an attribute.

    Raises:
        KeyboardInterrupt: in place of an error that came after an interrupt.
    """
    interrupt = _Interrupt()
    with signals_as_before():
        if _in_main_thread() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, interrupt)
        try:
            yield
        except (Exception, SystemExit) as error:
            if interrupt.raised:
                raise KeyboardInterrupt("stopped at once") from error
            raise


class _Interrupt:
    """Python's own handler of Ctrl-C, which remembers that it has raised."""

    def __init__(self) -> None:
        self.raised = False

    def __call__(self, *_: Any) -> None:
        self.end()

    def end(self, said: str = "") -> NoReturn:
        self.raised = True
        raise KeyboardInterrupt(said)


@contextlib.contextmanager
def signals_as_before() -> Iterator[None]:
    """Put the handlers of Ctrl-C and SIGTERM back at the end of the block."""
    if not _in_main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def watchdog(time_limit: float | None, last_words: Callable[[str], None]) -> Iterator[None]:
    """End this process if the block takes longer than the limit and does not end by itself.

    Args:
        last_words: told why, before the end.
    """
    if time_limit is None:
        yield
        return

    def give_up() -> None:
        last_words(f"not done within time_limit_minutes={time_limit / 60:g}, and stuck in a step")
        os._exit(1)

    timer = threading.Timer(time_limit + GRACE, give_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
