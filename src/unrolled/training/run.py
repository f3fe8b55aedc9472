"""Making one run: whether it is done, whose turn it is, and what becomes of a failure.

Nothing heavy is imported before the data is read and the folder is there, so that a missing file
or a finished run answers at once.
"""

import contextlib
import logging
import math
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf

from unrolled.config.build import EVERYTHING
from unrolled.errors import ExitedError, RunError, StorageError, full_disk_said
from unrolled.runs.files import atomic_path, remove_leftovers
from unrolled.runs.identity import as_dict, identity, plain, study_folder
from unrolled.runs.locks import hold, lock_path
from unrolled.runs.processes import this_process
from unrolled.runs.progress import Progress, read_progress
from unrolled.runs.record import Record, read_record
from unrolled.runs.spec import RunSpec
from unrolled.runs.status import RunStatus, run_status
from unrolled.tasks.build import check_task, describe_task, prepare_data
from unrolled.training.imports import quick_imports
from unrolled.training.stopping import interrupts_stay, watchdog
from unrolled.training.trackers.packages import require_packages

if TYPE_CHECKING:
    import pytorch_lightning as pl

# Bytes that a disk must have room for: what a run writes besides its checkpoints.
PROBE = 100_000

log = logging.getLogger(__name__)


@dataclass
class Outcome:
    """What became of a run.

    ``status`` is ``finished``; ``skipped`` (it was finished before); ``failed``; ``interrupted``
    (the same command goes on with it); ``paused`` (it waits for the others of its search);
    ``pruned`` (a search gave it up); or ``busy`` (another process works on it). ``exited`` is set
    by who saw its process exit without reporting: ``Killed``, or ``Crashed`` by a fault of its
    own.
    """

    status: str
    folder: Path | None
    message: str = ""
    exited: str | None = None

    def __float__(self) -> float:
        """The metric that the run's task watches, on validation: sweepers of others take what a
        run returns for its objective. Not a number where the run did not finish."""
        if self.folder is None or self.status not in ("finished", "skipped"):
            return math.nan
        record = read_record(self.folder)
        return float(record.metrics.get(record.description.monitor, math.nan))


def specify(config: DictConfig, trusted: Iterable[str] = EVERYTHING) -> RunSpec:
    """The run that ``config`` describes; its data is read for that.

    Args:
        trusted: prefixes of modules outside this package that the configuration may name.

    Raises:
        UnrolledError: bad input.
    """
    config = plain(config)
    check_task(config)
    require_packages(config)
    return RunSpec.of(config, prepare_data(config, trusted).fingerprint)


def run(config: DictConfig, *, retry: bool = True, trusted: Iterable[str] = EVERYTHING) -> Outcome:
    """Make the run that ``config`` describes, as ``make_run`` does."""
    return make_run(specify(config, trusted), retry=retry, trusted=trusted)


def make_run(
    spec: RunSpec,
    *,
    retry: bool = True,
    trusted: Iterable[str] = EVERYTHING,
    callbacks: "Callable[[], list[pl.Callback]]" = list,
) -> Outcome:
    """Make a run, or what is left of it.

    Finished, it is skipped; cut off, it goes on exactly from its last checkpoint.

    Args:
        retry: whether a run that failed before is tried again.
        trusted: prefixes of modules outside this package that the configuration may name.
        callbacks: makes Lightning callbacks of the caller's, once Lightning is imported.

    Raises:
        BusyError: another process is working on it.
        ExitedError: code of the run's own raised SystemExit.
        UnrolledError: bad input; where the run had begun, its record says the same.
        KeyboardInterrupt: the run was stopped; its record says so.
    """
    if (outcome := done_before(spec, retry)) is not None:
        return outcome
    config = spec.config
    data = prepare_data(config, trusted)
    if identity(config, data.fingerprint) != spec.identity:
        raise RunError(
            f"{spec.name}: its data, or the code of its cell or task, is not what it was when the "
            "command began; the same command makes the run with what is there now"
        )
    with hold(lock_path(spec.study, spec.identity), str(spec.folder)):
        status = run_status(spec, locked=True)
        # Another process may have finished it while this one waited.
        if (outcome := _done(status, retry)) is not None:
            return outcome
        folder = status.folder
        remove_leftovers(folder)
        if status.state == "damaged":
            log.warning("%s: its record was damaged, and is made again", folder)
        record = Record(
            identity=spec.identity,
            study=config.study,
            name=folder.name,
            seed=config.seed,
            config=as_dict(config),
            task=describe_task(config).to_dict(),
        )
        if status.record is not None:
            record.timing["continued"] = status.record.timing.get("continued", [])
        with (
            _exit_is_failure(),
            recording(record, folder, config.time_limit_minutes),
            full_disk_said(folder),
        ):
            with atomic_path(folder / "config.yaml") as path:
                OmegaConf.save(config, path)
            data.write(folder)
            with quick_imports():
                from unrolled.training.fit import train

            train(config, data, record, folder, trusted, callbacks)
    return Outcome("finished", folder)


def done_before(spec: RunSpec, retry: bool) -> Outcome | None:
    """The outcome of a run that needs no making; None where it is to be made.

    Args:
        retry: whether a run that failed before is to be made again.
    """
    return _done(run_status(spec), retry)


def _done(status: RunStatus, retry: bool) -> Outcome | None:
    if status.state == "finished":
        progress = read_progress(status.folder) or Progress("skipped")
        progress.stage = "skipped"
        # For whoever watches; a finished run needs no room on the disk.
        with contextlib.suppress(StorageError):
            progress.write(status.folder)
        return Outcome("skipped", status.folder)
    if status.state == "failed" and not retry:
        assert status.record is not None
        error = status.record.error or {}
        message = f"earlier: {error.get('type')}: {error.get('message')}"
        return Outcome("failed", status.folder, message)
    return None


def record_exit(spec: RunSpec, kind: str, message: str) -> Record | None:
    """Write into a run's record that its process exited without reporting, and how.

    Args:
        kind: ``Killed`` or ``Crashed``.

    Returns:
        The run's record; None where the run had not begun.
    """
    status = run_status(spec)
    record = status.record
    if record is not None and record.status == "running" and status.state != "busy":
        record.timing["ended"] = _now()
        _end_with(record, status.folder, kind, message)
    return record


def record_pruned(spec: RunSpec, message: str) -> Path:
    """Write into the record of a run that has stopped that its search gives it up.

    Returns:
        The run's folder.

    Raises:
        BusyError: another process is working on it.
    """
    with hold(lock_path(spec.study, spec.identity), str(spec.folder)):
        status = run_status(spec, locked=True)
        if (record := status.record) is not None and record.state != "pruned":
            _end_with(record, status.folder, "PrunedError", message)
    return status.folder


def _end_with(record: Record, folder: Path, kind: str, message: str) -> None:
    record.status = "failed"
    record.error = {"type": kind, "message": message, "traceback": ""}
    record.write(folder)
    progress = read_progress(folder) or Progress(record.state)
    progress.stage = record.state
    progress.write(folder)


@contextlib.contextmanager
def _exit_is_failure() -> Iterator[None]:
    """Keep code of the run's own from ending the program as if all were well.

    Raises:
        ExitedError: it raised SystemExit; the message says where.
    """
    try:
        yield
    except SystemExit as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        raise ExitedError(
            f"{frame.filename}:{frame.lineno}: SystemExit({error.code!r}) was raised during the "
            "run; let it raise another exception, which says what is wrong"
        ) from error


@contextlib.contextmanager
def recording(record: Record, folder: Path, limit_minutes: float | None = None) -> Iterator[None]:
    """Keep ``record`` true on disk: running now; finished, or failed and why, at the end."""
    started = time.time()
    record.process = this_process()
    record.timing["started"] = _now()
    record.write(folder)
    Progress("preparing").write(folder)

    def stuck(message: str) -> None:
        record.status = "failed"
        record.error = {"type": "TimeLimitError", "message": message, "traceback": ""}
        end()

    def end() -> None:
        record.timing["ended"] = _now()
        earlier = record.timing.get("total_seconds", 0.0)
        record.timing["total_seconds"] = earlier + time.time() - started
        record.write(folder)
        progress = read_progress(folder) or Progress(record.status)
        progress.stage = record.state
        progress.write(folder)

    try:
        with watchdog(60 * limit_minutes if limit_minutes else None, stuck), interrupts_stay():
            yield
    except BaseException as error:
        record.status = "failed"
        record.error = {
            "type": type(error).__name__,
            "message": str(error),
            "traceback": traceback.format_exc(),
        }
        raise
    else:
        record.status = "finished"
    finally:
        end()


def require_writable(config: DictConfig) -> None:
    """Refuse an output folder that cannot be written, or has no room, before any work.

    Raises:
        StorageError: it cannot be made, or not written to.
    """
    probe = study_folder(config) / ".writable"
    with atomic_path(probe) as path:
        # A full disk still takes names.
        path.write_bytes(bytes(PROBE))
    probe.unlink()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
