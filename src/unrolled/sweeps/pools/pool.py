"""Many runs through few places: what a pool is, and the one loop that all pools share."""

import contextlib
import signal
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from omegaconf import DictConfig

from unrolled.errors import ConfigError
from unrolled.runs.spec import RunSpec
from unrolled.runs.status import run_status
from unrolled.sweeps.worker import retries
from unrolled.training.run import Outcome, done_before, record_exit

# Signals by which the system answers a fault of the program.
CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGFPE, signal.SIGILL, signal.SIGBUS)

# The message of runs that another one's failure ended, or kept from beginning.
ENDED = "ended by fail_fast"


class Pool(ABC):
    """Places for runs. Whatever becomes of a run, ``wait`` returns it as an ``Outcome``.

    Used as a context: left by an exception, it ends the runs that are under way.

    Attributes:
        capacity: how many runs to hand over at a time; None: all, they queue elsewhere.
    """

    capacity: int | None

    @classmethod
    @abstractmethod
    def require(cls, config: DictConfig, options: Mapping[str, Any]) -> None:
        """Refuse options that cannot work here, at once and with nothing started.

        Args:
            config: of a run.
            options: the launcher's.

        Raises:
            ConfigError, DeviceError: which option, and the way out.
        """

    @abstractmethod
    def submit(self, spec: RunSpec) -> None:
        """Start a run, or queue it."""

    @abstractmethod
    def wait(self) -> list[tuple[RunSpec, Outcome]]:
        """Block until at least one run has ended; those that did, and how.

        A signal's handler may raise from here, so that Ctrl-C is heard.
        """

    @abstractmethod
    def stop(self, *, notified: bool = False) -> None:
        """End every run that is under way, and forget what is queued; records stay true.

        Args:
            notified: whether runs on this machine have the interrupt already, as a terminal gives
                Ctrl-C to all of its processes.
        """

    def close(self) -> None:  # noqa: B027 - a pool may hold nothing
        """Give back what the pool holds; no run is under way."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is not None:
                self.stop(notified=kind is KeyboardInterrupt)
        finally:
            self.close()


@contextlib.contextmanager
def signals_end_the_sweep() -> Iterator[None]:
    """Let SIGTERM end a sweep as Ctrl-C does: cleanly, with true records."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(*_: object) -> None:
        raise Terminated("stopped by a signal; the same command again makes what is left")

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class Terminated(KeyboardInterrupt):
    """The sweep was ended by a signal (a time limit, a scheduler), not by Ctrl-C."""


def exited(exitcode: int | None) -> Outcome:
    """The outcome of a run whose process exited without reporting one.

    A crash is the run's own fault and would come again; a run that was killed can go on.
    """
    if exitcode is None or exitcode >= 0:
        message = f"its process ended with exit code {exitcode}"
        return Outcome("failed", None, message, exited="Crashed")
    number = signal.Signals(-exitcode)
    message = f"its process was killed by {number.name}"
    if number in CRASHES:
        return Outcome("failed", None, message, exited="Crashed")
    if number is signal.SIGKILL:
        message += "; the system does that when memory runs out"
    return Outcome("interrupted", None, message, exited="Killed")


def recorded(spec: RunSpec, outcome: Outcome) -> Outcome:
    """An outcome with the folder of the run, where it has begun, after an exit that the run could
    not record itself is in its record.

    Where the run's own clock ended it, its record says why.
    """
    if outcome.exited is not None:
        record = record_exit(spec, outcome.exited, outcome.message)
        if record is not None and record.state == "failed" and record.error:
            message = f"{record.error['type']}: {record.error['message']}"
            outcome = Outcome("failed", None, message)
    if outcome.folder is None:
        status = run_status(spec, locked=True)
        outcome = replace(outcome, folder=None if status.record is None else status.folder)
    return outcome


def require_fraction(name: str, value: float) -> None:
    """Refuse a share of a GPU that no run could have.

    Raises:
        ConfigError: not above 0, or above 1 and not whole.
    """
    if value <= 0:
        raise ConfigError(
            f"{name}={value:g}: must be above 0; 0.5 lets two runs share a GPU, and for runs "
            "without one take trainer=cpu"
        )
    if value > 1 and value != int(value):
        raise ConfigError(f"{name}={value:g}: a whole number of GPUs, or a fraction below 1")


def drive(
    pool: Pool,
    specs: Iterable[RunSpec],
    ended: Callable[[RunSpec, Outcome], None],
    begun: Callable[[RunSpec], None] = lambda spec: None,
    *,
    fail_fast: bool = False,
) -> None:
    """Make all runs, as many at a time as the pool has places; what is done needs no place.

    Args:
        specs: taken one by one, each when there is a place for it, so that a search can decide
            on a trial with all results there are.
        ended: called for each run, in the order in which they end.
        begun: called for each run that the pool gets.
        fail_fast: whether the first failure ends the others, and no more are begun.
    """
    source = iter(specs)
    running: dict[RunSpec, None] = {}
    with signals_end_the_sweep(), pool:
        while True:
            failed = False
            while not (failed and fail_fast) and (
                pool.capacity is None or len(running) < pool.capacity
            ):
                spec = next(source, None)
                if spec is None:
                    break
                before = done_before(spec, retries(spec.config, swept=True))
                if before is not None:
                    ended(spec, before)
                    failed = failed or before.status == "failed"
                    continue
                begun(spec)
                pool.submit(spec)
                running[spec] = None
            if not running:
                return
            if not (failed and fail_fast):
                for spec, outcome in pool.wait():
                    del running[spec]
                    outcome = recorded(spec, outcome)
                    ended(spec, outcome)
                    failed = failed or outcome.status == "failed"
            if fail_fast and failed:
                pool.stop()
                for spec in running:
                    ended(spec, Outcome("interrupted", None, ENDED))
                return
