"""Many runs through few places: what a launcher is, and the one loop that all of them share."""

import contextlib
import signal
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from omegaconf import DictConfig

from unrolled.errors import ConfigError
from unrolled.training.run import Outcome, record_death

# Signals by which the system answers a fault of the program.
CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGFPE, signal.SIGILL, signal.SIGBUS)

# What is said of runs that another one's failure ended, or kept from beginning.
ENDED = "ended by fail_fast"


@dataclass(frozen=True)
class Task:
    """One run to be made.

    Attributes:
        number: of the job in its sweep.
        config: of the run, resolved, without Hydra's own part.
        overrides: what the sweep varies, as typed.
        composed: the configuration with Hydra's own part, for Hydra.
    """

    number: int
    config: DictConfig
    overrides: list[str]
    composed: DictConfig


class Pool(ABC):
    """Places for runs. Whatever becomes of one run, ``wait`` tells it as an ``Outcome``.

    Used as a context: left by an exception, runs that are under way are ended.

    Attributes:
        capacity: how many runs to hand over at a time; None: all, they queue elsewhere.
    """

    capacity: int | None

    @classmethod
    @abstractmethod
    def require(cls, config: DictConfig, options: Mapping[str, Any]) -> None:
        """Refuse options that cannot work here, at once and with nothing started.

        Args:
            config: of a run, without Hydra's own part.
            options: the launcher's.

        Raises:
            ConfigError, DeviceError: which option, and the way out.
        """

    @abstractmethod
    def submit(self, task: Task) -> None:
        """Start a run, or queue it."""

    @abstractmethod
    def wait(self) -> list[tuple[int, Outcome]]:
        """Block until at least one run has ended; the numbers of those that did, and how.

        A signal's handler may raise from here, so that Ctrl-C is not deaf.
        """

    @abstractmethod
    def stop(self, told: bool = False) -> None:
        """End every run that is under way, and forget what is queued; records stay honest.

        Args:
            told: whether runs on this machine know already, as a terminal gives Ctrl-C to all.
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
                self.stop(told=kind is KeyboardInterrupt)
        finally:
            self.close()


@contextlib.contextmanager
def signals_end_the_sweep() -> Iterator[None]:
    """Let SIGTERM end a sweep as Ctrl-C does: cleanly, with honest records."""
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
    """The sweep was told to end by a signal (a time limit, a scheduler), not by Ctrl-C."""


def death(name: str, exitcode: int | None) -> Outcome:
    """What became of a run whose process ended without a word.

    A crash is the run's own and would come again; whoever is killed can go on.
    """
    if exitcode is None or exitcode >= 0:
        message = f"{name}: its process ended with exit code {exitcode}"
        return Outcome("failed", None, message, died="Crashed")
    number = signal.Signals(-exitcode)
    message = f"{name}: its process was killed by {number.name}"
    if number in CRASHES:
        return Outcome("failed", None, message, died="Crashed")
    if number is signal.SIGKILL:
        message += "; the system does that when memory runs out"
    return Outcome("interrupted", None, message, died="Killed")


def settle(task: Task, outcome: Outcome) -> Outcome:
    """Record a death that the run could not record itself.

    A run that its own clock ended has its say in its record.
    """
    if outcome.folder is not None or outcome.died is None:
        return outcome
    record = record_death(task.config, outcome.died, outcome.message)
    if record is not None and record.state == "failed" and record.error:
        message = f"{record.name}: {record.error['type']}: {record.error['message']}"
        return Outcome("failed", None, message)
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
    tasks: Iterable[Task],
    ended: Callable[[Task, Outcome], None],
    *,
    fail_fast: bool = False,
) -> None:
    """Make all runs, as many at a time as the pool has places.

    Args:
        tasks: taken one by one, each when there is a place for it, so that a search can decide
            on a trial with all results there are.
        ended: called for each task that was begun, in the order in which they end.
        fail_fast: whether the first failure ends the others, and no more are begun.
    """
    source = iter(tasks)
    running: dict[int, Task] = {}
    with signals_end_the_sweep(), pool:
        while True:
            while pool.capacity is None or len(running) < pool.capacity:
                task = next(source, None)
                if task is None:
                    break
                pool.submit(task)
                running[task.number] = task
            if not running:
                return
            failed = False
            for number, told in pool.wait():
                task = running.pop(number)
                outcome = settle(task, told)
                ended(task, outcome)
                failed = failed or outcome.status == "failed"
            if fail_fast and failed:
                pool.stop()
                for task in running.values():
                    ended(task, Outcome("interrupted", None, ENDED))
                return
