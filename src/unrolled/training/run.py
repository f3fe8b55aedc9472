"""One run as a job: whose folder, whether it is done, and what becomes of a failure.

Nothing heavy is imported before the data is read and the folder is there, so that a missing file
or a finished run answers at once.
"""

import contextlib
import logging
import time
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from unrolled.config.build import EVERYTHING
from unrolled.errors import RunError, full_disk_said
from unrolled.runs.files import atomic_path, remove_leftovers
from unrolled.runs.identity import as_dict, identity, plain, run_name, study_folder
from unrolled.runs.locks import hold, is_held, lock_path
from unrolled.runs.processes import this_process
from unrolled.runs.progress import Progress, read_progress
from unrolled.runs.record import RECORD, Record, read_record
from unrolled.training.prepare import check_run, describe_task, prepare_data
from unrolled.training.stopping import watchdog

# Bytes that a disk must have room for: what a run writes besides its checkpoints.
PROBE = 100_000

log = logging.getLogger(__name__)


@dataclass
class Outcome:
    """What became of a job.

    ``status`` is ``finished``; ``skipped`` (it was finished before); ``failed``; ``interrupted``
    (the same command goes on with it); ``pruned`` (a search gave it up); or ``busy`` (another
    process works on it). ``died`` is set by who saw its process end without a word: ``Killed``, or
    ``Crashed`` by a fault of its own.
    """

    status: str
    folder: Path | None
    message: str = ""
    died: str | None = None


@dataclass(frozen=True)
class Standing:
    """How far a run has come, as its folder tells.

    ``state`` is that of its record, or ``new``, ``damaged`` (its record is), or ``busy``.
    """

    folder: Path
    identity: str
    state: str
    record: Record | None = None


def standing(config: DictConfig, trusted: Iterable[str] = EVERYTHING) -> Standing:
    """Where the run that ``config`` describes is, and how far it has come.

    Raises:
        UnrolledError: bad input.
    """
    config = plain(config)
    check_run(config)
    key = identity(config, prepare_data(config, trusted).fingerprint)
    folder = study_folder(config) / run_name(config, key)
    found = _standing(folder, key)
    if found.state != "finished" and is_held(lock_path(folder.parent, key)):
        return Standing(found.folder, key, "busy", found.record)
    return found


def run(config: DictConfig, *, retry: bool = True, trusted: Iterable[str] = EVERYTHING) -> Outcome:
    """Make the run that ``config`` describes, or what is left of it.

    Finished, it is skipped; cut off, it goes on exactly from its last checkpoint.

    Args:
        retry: whether a run that failed before is tried again.
        trusted: prefixes of modules outside this package that the configuration may name.

    Raises:
        BusyError: another process is working on it.
        UnrolledError: bad input; where the run had begun, its record says the same.
        KeyboardInterrupt: the run was stopped; its record says so.
    """
    config = plain(config)
    check_run(config)
    data = prepare_data(config, trusted)
    key = identity(config, data.fingerprint)
    folder = study_folder(config) / run_name(config, key)
    if (before := _answer(_standing(folder, key), retry)) is not None:
        return before
    with hold(lock_path(folder.parent, key), str(folder)):
        # Another process may have finished it while this one waited.
        found = _standing(folder, key)
        if (before := _answer(found, retry)) is not None:
            return before
        folder = found.folder
        remove_leftovers(folder)
        if found.state == "damaged":
            log.warning("%s: its record was damaged, and is made again", folder)
        record = Record(
            identity=key,
            study=config.study,
            name=folder.name,
            seed=config.seed,
            config=as_dict(config),
            task=describe_task(config).to_dict(),
        )
        if found.record is not None:
            record.timing["continued"] = found.record.timing.get("continued", [])
        with recording(record, folder, config.time_limit_minutes), full_disk_said(folder):
            with atomic_path(folder / "config.yaml") as path:
                OmegaConf.save(config, path)
            data.write(folder)
            from unrolled.training.fit import train

            train(config, data, record, folder, trusted)
    return Outcome("finished", folder)


def _answer(found: Standing, retry: bool) -> Outcome | None:
    """What there is to say of a run without making it; None where it is to be made."""
    if found.state == "finished":
        progress = read_progress(found.folder) or Progress("skipped")
        progress.stage = "skipped"
        progress.write(found.folder)
        return Outcome("skipped", found.folder)
    if found.state == "failed" and not retry:
        assert found.record is not None
        error = found.record.error or {}
        message = f"{error.get('type')}: {error.get('message')}"
        return Outcome("failed", found.folder, f"{found.folder.name}, earlier: {message}")
    return None


def record_death(config: DictConfig, kind: str, message: str) -> Record | None:
    """Write into a run's record that its process died, and how; it could not do so itself.

    Args:
        kind: ``Killed`` or ``Crashed``.

    Returns:
        The run's record; None where the run had not begun.
    """
    found = standing(config)
    record = found.record
    if record is not None and record.status == "running" and found.state != "busy":
        record.status = "failed"
        record.error = {"type": kind, "message": message, "traceback": ""}
        record.timing["ended"] = _now()
        record.write(found.folder)
        progress = read_progress(found.folder) or Progress(record.state)
        progress.stage = record.state
        progress.write(found.folder)
    return record


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
        with watchdog(60 * limit_minutes if limit_minutes else None, stuck):
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


def _standing(folder: Path, identity: str) -> Standing:
    """How far the run has come: in ``folder``, or where a sweep gave it another name."""
    others = sorted(path.parent for path in folder.parent.glob(f"*-{identity[:6]}/{RECORD}"))
    for other in [folder, *(other for other in others if other != folder)]:
        if not (other / RECORD).is_file():
            continue
        try:
            record = read_record(other)
        except RunError:
            # The name has six letters of the identity; the checkpoint, which has all of it, tells
            # whether it is this run.
            if other == folder:
                return Standing(other, identity, "damaged")
            continue
        if record.identity == identity:
            return Standing(other, identity, record.state, record)
    return Standing(folder, identity, "new")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
