"""The mistakes a person can mend: one sentence that names the thing, the place and the way out.

The command prints these without a traceback and ends with exit code 2; any other exception is a
fault of the program, and keeps its traceback.
"""

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path


class UnrolledError(Exception):
    """Base of every error whose message alone tells the person what to do."""


class ConfigError(UnrolledError):
    """A key, a value or a choice that the configuration does not have or cannot take."""


class DataError(UnrolledError):
    """A file, a split, a vocabulary or a prompt that cannot be used as asked."""


class CellError(ConfigError):
    """A cell that does not keep the contract of cells."""


class LayerError(UnrolledError, ValueError):
    """An argument, an input or a state that a layer cannot take."""


class BudgetError(UnrolledError):
    """A budget of parameters or of arithmetic that no hidden size meets."""


class ExportError(UnrolledError):
    """A model that cannot be written in a format, or does not compute the same in it."""


class DeviceError(UnrolledError):
    """A device or a precision that this machine does not have."""


class RunError(UnrolledError):
    """A run folder that is missing, damaged or cannot be written."""


class BusyError(RunError):
    """A run that another process is working on."""


class StorageError(RunError):
    """A disk that is full, or cannot be written; the run is whole up to its last checkpoint."""


class StoppedError(UnrolledError):
    """A run that was told to end before it was done."""


class PrunedError(StoppedError):
    """A trial that a search gave up, since others do better."""


class PausedError(StoppedError):
    """A run of a search that waits until the others have come as far."""


class TimeLimitError(StoppedError):
    """A run that did not end within ``time_limit_minutes``."""


class SweepError(UnrolledError):
    """A sweep of which some runs have no result; ``sweep`` has all that became of it."""

    def __init__(self, message: str, sweep: object) -> None:
        super().__init__(message)
        self.sweep = sweep


class ExitedError(UnrolledError):
    """Code of a run's own, such as a cell, that raised SystemExit."""


class DivergedError(UnrolledError):
    """A loss that became infinite or not a number; the message says at which step."""


@contextlib.contextmanager
def full_disk_said(
    where: Path | None = None,
    what: str = "cannot be written",
    way_out: str = "make room, and the same command goes on from the last checkpoint",
) -> Iterator[None]:
    """One sentence for a disk that is full or has become read-only, instead of a traceback.

    Args:
        where: on the disk; None: wherever the system says.
        what: is wrong there.
        way_out: what the person can do.

    Raises:
        StorageError: it is.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS):
            raise
        raise StorageError(
            f"{where or error.filename or 'the outputs'}: {what} ({error.strerror}); {way_out}"
        ) from error
