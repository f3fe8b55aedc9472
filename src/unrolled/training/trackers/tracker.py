"""A tracker of runs as a logger that cannot harm the run.

What is logged waits until the run writes a checkpoint, and is sent then: a run that goes on from a
checkpoint has sent exactly what comes before it, and continues the same curves. The first failure
is said once and kept for the record; the tracker is left out from then on, and training goes on.
"""

import logging
import random
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from omegaconf import DictConfig
from pytorch_lightning.loggers import Logger

from unrolled.runs.text import one_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

# Of a reason that a service gives, which may be a page of HTML.
LONGEST_REASON = 300

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tracked:
    """The run as a tracker knows it.

    Attributes:
        key: the same whenever the same run goes on, in this study; 32 letters and digits.
        name, study: of the run.
        folder: the run's own.
        continued: whether it goes on from a checkpoint.
        options: ``config.logger``.
        outputs: the folder of all studies.
    """

    key: str
    name: str
    study: str
    folder: Path
    continued: bool
    options: DictConfig
    outputs: Path

    @property
    def project(self) -> str:
        """What the tracker keeps the study's runs under."""
        return self.options.project or self.study


class Tracker(Logger):
    """Collects what is logged, and sends it when it is told to.

    Attributes:
        failure: why it was left out, in one line; empty while it works.
    """

    kind: ClassVar[str]

    def __init__(self, tracked: Tracked) -> None:
        super().__init__()
        self.tracked = tracked
        self.failure = ""
        self._waiting: list[Callable[[], None]] = []
        self._opened = False

    @property
    def name(self) -> str:
        return self.kind

    @property
    def version(self) -> str:
        return self.tracked.key

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Points of curves at a step."""
        values = dict(metrics)
        self._later(lambda: self._logger().log_metrics(values, step))

    def log_hyperparams(self, params: Any, *_: Any, **__: Any) -> None:
        """The configuration, dotted keys to plain values."""
        self._later(lambda: self._logger().log_hyperparams(params))

    def add_figure(self, name: str, picture: "Picture | None", step: int) -> None:
        """A picture at a step."""
        if picture is not None:
            self._later(lambda: self._send_figure(name, picture, step))

    def add_text(self, name: str, text: str, step: int) -> None:
        """A text at a step, such as a sample."""
        self._later(lambda: self._send_text(name, text, step))

    def log_final(self, metrics: Mapping[str, float]) -> None:
        """The run's results, which are no points of a curve."""
        values = dict(metrics)
        self._later(lambda: self._send_final(values))

    def save(self) -> None:
        """Send what waits."""
        while self._waiting and not self.failure:
            self._try(self._waiting.pop(0))

    def finalize(self, status: str) -> None:
        """Send what waits, as Lightning asks after each of its loops; ``end`` closes."""
        if status == "success":
            self.save()

    def end(self, status: str) -> None:
        """Close; what a failed run has logged since its last checkpoint is not sent, since the run
        will log it again when it goes on from there.

        Args:
            status: ``finished`` or ``failed``.
        """
        if status == "finished":
            self.save()
        self._waiting.clear()
        if self._opened and not self.failure:
            self._try(lambda: self._close(status))

    @abstractmethod
    def _logger(self) -> Logger:
        """Lightning's logger, opened when it is first asked for."""

    @abstractmethod
    def _send_figure(self, name: str, picture: "Picture", step: int) -> None: ...

    @abstractmethod
    def _send_text(self, name: str, text: str, step: int) -> None: ...

    @abstractmethod
    def _send_final(self, metrics: Mapping[str, float]) -> None: ...

    @abstractmethod
    def _close(self, status: str) -> None: ...

    def _later(self, send: Callable[[], None]) -> None:
        if not self.failure:
            self._waiting.append(send)

    def _try(self, send: Callable[[], None]) -> None:
        """Send; a failure of whatever kind ends the tracker, and nothing else."""
        # Draws for names and waits of its own would change the run's.
        before = random.getstate(), np.random.get_state()
        try:
            self._opened = True
            send()
        except Exception as error:  # noqa: BLE001 - said, and kept for the record
            reason = one_line(str(error).strip().partition("\n")[0])[:LONGEST_REASON]
            self.failure = f"{type(error).__name__}: {reason}" if reason else type(error).__name__
            self._waiting.clear()
            log.warning(
                "logger=%s: %s; the run goes on without it, and its record has all figures",
                self.kind,
                self.failure,
            )
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])
