"""One process at a time on a run: a lock that the system releases when its holder is gone."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from unrolled.errors import BusyError, RunError, full_disk_said

FOLDER = ".locks"
# A run whose sweep was killed needs a moment to notice and to end.
LOCK_TIMEOUT_SECONDS = 5.0


def lock_path(study: Path, identity: str) -> Path:
    """The lock of a run: by its identity, since a sweep may give its folder another name."""
    return study / FOLDER / identity[:16]


@contextlib.contextmanager
def hold(path: Path, what: str, timeout: float | None = None) -> Iterator[None]:
    """Hold a lock for the time of the block; a crash releases it, too.

    Args:
        what: is locked, for the message.
        timeout: seconds to wait for it; None: ``LOCK_TIMEOUT_SECONDS``.

    Raises:
        BusyError: another process holds it.
        RunError: the folder cannot be written, or its file system has no locks.
        StorageError: the disk is full.
    """
    seconds = LOCK_TIMEOUT_SECONDS if timeout is None else timeout
    try:
        with full_disk_said(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(path)
            lock.acquire(timeout=seconds, poll_interval=0.05)
    except Timeout as error:
        raise BusyError(
            f"{what}: another process is working on this run; wait for it, or stop it"
        ) from error
    except (OSError, NotImplementedError) as error:
        raise RunError(
            f"{path.parent}: cannot be locked ({error}); put paths.outputs on a file system that "
            "can be written and has locks"
        ) from error
    try:
        yield
    finally:
        lock.release()


def is_held(path: Path) -> bool:
    """Whether a process holds the lock now."""
    if not path.is_file():
        return False
    try:
        with hold(path, "", timeout=0):
            return False
    except BusyError:
        return True
