"""One run as a job: whose folder, whether it is done, and what becomes of a failure.

Nothing heavy is imported before the data is read and the folder is there, so that a missing file
or a finished run answers at once.
"""

import contextlib
import errno
import shutil
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from unrolled.errors import RunError
from unrolled.training.identity import as_dict, identity, plain, run_name, study_folder
from unrolled.training.prepare import prepare_data, require_monitor
from unrolled.training.record import (
    RECORD,
    Progress,
    Record,
    atomic_path,
    read_progress,
    read_record,
    this_process,
)

# What an earlier, unfinished attempt may have left in a run's folder.
LEFTOVERS = ("checkpoints", "metrics.csv", "samples.txt", "events.out.*", "hparams.yaml")


@dataclass
class Outcome:
    """What became of a job: ``finished``, ``skipped`` (it was finished before), or ``failed``."""

    status: str
    folder: Path | None
    message: str = ""


def run(config: DictConfig) -> Outcome:
    """Make the run that ``config`` describes, unless it is finished already.

    Raises:
        UnrolledError: bad input; where the run had begun, its record says the same.
        KeyboardInterrupt: the person stopped it; the record says so.
    """
    config = plain(config)
    require_monitor(config)
    data = prepare_data(config)
    key = identity(config, data.fingerprint)
    name = run_name(config, key)
    folder = study_folder(config) / name
    for other in _same_identity(folder, key):
        folder, name = other, other.name
        existing = read_record(folder)
        if existing.state == "finished":
            progress = read_progress(folder) or Progress("skipped")
            progress.stage = "skipped"
            progress.write(folder)
            return Outcome("skipped", folder)
        if existing.state == "running":
            raise RunError(
                f"{folder}: process {existing.process['pid']} on {existing.process['host']} is "
                "working on this run; wait for it, or stop it (if there is no such run, delete "
                "the folder)"
            )
    _clear(folder)
    record = Record(
        identity=key, study=config.study, name=name, seed=config.seed, config=as_dict(config)
    )
    with recording(record, folder), _full_disk_said(folder):
        with atomic_path(folder / "config.yaml") as path:
            OmegaConf.save(config, path)
        with atomic_path(folder / "tokenizer.json") as path:
            path.write_text(data.tokenizer.to_json(), encoding="utf-8")
        from unrolled.training.run import train

        train(config, data, record, folder)
    return Outcome("finished", folder)


@contextlib.contextmanager
def recording(record: Record, folder: Path) -> Iterator[None]:
    """Keep ``record`` true on disk: running now; finished, or failed and why, at the end."""
    started = time.time()
    record.process = this_process()
    record.timing["started"] = _now()
    record.write(folder)
    Progress("preparing").write(folder)
    try:
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
        record.timing["ended"] = _now()
        record.timing["total_seconds"] = time.time() - started
        record.write(folder)
        progress = read_progress(folder) or Progress(record.status)
        progress.stage = record.status
        progress.write(folder)


def require_writable(config: DictConfig) -> None:
    """Refuse an output folder that cannot be written, before any work.

    Raises:
        RunError: it cannot be made, or not written to.
    """
    probe = study_folder(config) / ".writable"
    with atomic_path(probe) as path:
        path.touch()
    probe.unlink()


@contextlib.contextmanager
def _full_disk_said(folder: Path) -> Iterator[None]:
    """One sentence for a disk that is full or has become read-only, instead of a traceback."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS):
            raise
        raise RunError(f"{folder}: cannot be written ({error.strerror})") from error


def _same_identity(folder: Path, identity: str) -> list[Path]:
    """The folder of the run, where it was made before: a sweep may have given it another name."""
    named = [folder] if (folder / RECORD).is_file() else []
    others = folder.parent.glob(f"*-{identity[:6]}/{RECORD}")
    found = [path.parent for path in others if path.parent != folder]
    return (named + [other for other in found if read_record(other).identity == identity])[:1]


def _clear(folder: Path) -> None:
    """Remove what an unfinished attempt left, so that its curves do not mix with the new one's."""
    for pattern in LEFTOVERS:
        for path in folder.glob(pattern):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
