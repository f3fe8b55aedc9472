"""The record of a run: one JSON file that is the run's whole truth, written atomically.

A comparison, a listing and a live display read records and nothing else, so this module imports
nothing heavy. The fields are fixed in ``Record``; ``state`` is derived, since a killed process
cannot write.
"""

import contextlib
import json
import math
import os
import re
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from unrolled.errors import RunError, StorageError, full_disk_said

SCHEMA_VERSION = 1
RECORD = "record.json"
PROGRESS = "progress.json"
# What a sweep says of itself, in its study's folder.
SWEEP = "sweep.json"
# What a file is called until it is whole; the first number is of the process.
TEMPORARY = re.compile(r"\..+\.(\d+)\.\d+")
# Of error types: the run itself is sound, and the same command goes on with it.
INTERRUPTED = ("KeyboardInterrupt", "SystemExit", "Killed", "StorageError")
# What whoever reads a record relies on.
SHAPES: dict[str, type] = {
    "config": dict,
    "data": dict,
    "model": dict,
    "metrics": dict,
    "best": dict,
    "timing": dict,
    "environment": dict,
    "process": dict,
    "history": list,
    "seed": int,
    "status": str,
    "name": str,
    "study": str,
}


@dataclass
class Record:
    """What ``record.json`` holds.

    ``metrics`` are those of the best checkpoint (``validation/…`` and ``test/…``); ``history`` has
    one entry a validation: ``step``, ``epoch``, ``seconds`` since the start of training, and its
    metrics. ``status`` is ``running``, ``finished`` or ``failed``.
    """

    identity: str
    study: str
    name: str
    seed: int
    config: dict[str, Any]
    status: str = "running"
    data: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    best: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    timing: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    process: dict[str, Any] = field(default_factory=dict)
    error: dict[str, str] | None = None
    schema_version: int = SCHEMA_VERSION

    @property
    def state(self) -> str:
        """``finished``, ``running``, ``failed``, ``interrupted`` (stopped by hand, killed, or out
        of disk), or ``pruned`` (given up by a search)."""
        if self.status == "failed" and self.error:
            kind = self.error["type"]
            if kind in INTERRUPTED:
                return "interrupted"
            if kind == "PrunedError":
                return "pruned"
        if self.status == "running" and not process_is_alive(self.process):
            return "interrupted"
        return self.status

    def write(self, folder: Path) -> None:
        """Replace ``folder/record.json`` in one step; a reader sees the old one or the new one."""
        write_json(folder / RECORD, asdict(self))


def read_record(folder: Path) -> Record:
    """The record of the run in ``folder``.

    Raises:
        RunError: there is no such folder, no record in it, or one that is damaged or of another
            version.
    """
    path = folder / RECORD
    if not folder.is_dir():
        raise RunError(f"{folder}: no such run folder; `unrolled runs` lists the ones there are")
    if not path.is_file():
        raise RunError(f"{folder}: no {RECORD} in it, so it is not the folder of a run")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RunError(f"{folder}: its record cannot be read ({error.strerror})") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RunError(
            f"{path}: damaged, it is not valid JSON ({error}); delete the folder and train again"
        ) from error
    if not isinstance(values, dict):
        raise RunError(f"{path}: damaged, it holds no record; delete the folder and train again")
    if values.get("schema_version") != SCHEMA_VERSION:
        raise RunError(
            f"{path}: schema version {values.get('schema_version')}, and this program reads "
            f"{SCHEMA_VERSION}; read it with the version of unrolled that wrote it"
        )
    missing = {"identity", "study", "name", "seed", "config", "status"} - values.keys()
    if missing:
        raise RunError(f"{path}: damaged, it lacks {', '.join(sorted(missing))}")
    known = {f.name for f in fields(Record)}
    record = Record(**{key: value for key, value in values.items() if key in known})
    for name, shape in SHAPES.items():
        if not isinstance(getattr(record, name), shape):
            raise RunError(
                f"{folder}: its record is damaged, {name} is no {shape.__name__}; "
                "delete the folder and train again"
            )
    return record


def read_sweep(folder: Path) -> dict[str, Any] | None:
    """What the latest sweep of a study says of itself: ``jobs``, ``started``, ``ended``,
    ``command``, ``process``; None where there was none."""
    try:
        state = json.loads((folder / SWEEP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return state if isinstance(state, dict) else None


def is_under_way(sweep: dict[str, Any] | None) -> bool:
    """Whether a sweep's process is at work still."""
    return sweep is not None and sweep["ended"] is None and process_is_alive(sweep["process"])


def find_runs(folder: Path) -> list[Path]:
    """The run folders at or below ``folder``, sorted by path.

    Raises:
        RunError: ``folder`` does not exist.
    """
    if not folder.is_dir():
        raise RunError(f"{folder}: no such folder; train something first, or name another")
    return sorted(path.parent for path in folder.rglob(RECORD))


def process_is_alive(process: dict[str, Any]) -> bool:
    """Whether the process that wrote a record is there still; one on another host is taken to
    be."""
    if not process:
        return False
    if process.get("host") != socket.gethostname():
        return True
    pid = int(process["pid"])
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    # A number is given to another process in time, after a restart of the machine for one.
    return process.get("started") in (None, _start_of(pid))


def _start_of(pid: int) -> str | None:
    """When a process started, in the system's own count; None where the system does not tell."""
    try:
        # The second field is a name in brackets, which may hold spaces.
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return None
    return stat.rpartition(")")[2].split()[19]


def this_process() -> dict[str, Any]:
    """What a record says of the process that writes it."""
    pid = os.getpid()
    return {"pid": pid, "host": socket.gethostname(), "started": _start_of(pid)}


def write_json(path: Path, value: object) -> None:
    """Write ``value`` to ``path`` in one step, numbers that JSON lacks (NaN, infinity) as null."""
    with atomic_path(path) as temporary:
        text = json.dumps(_plain(value), indent=1, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that replaces it on success and vanishes on failure.

    Raises:
        StorageError: the folder cannot be written, or its disk is full.
    """
    temporary = temporary_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
    except OSError as error:
        raise StorageError(f"{path.parent}: cannot be written ({error.strerror})") from error
    try:
        with full_disk_said(path.parent):
            yield temporary
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def temporary_path(path: Path) -> Path:
    """Beside ``path``, this thread's own, and known as a leftover when the process is gone."""
    # Not tempfile's, which only its owner may read.
    return path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")


def remove_leftovers(folder: Path) -> None:
    """Remove what processes that were killed while they wrote have left at a temporary path."""
    for path in [*folder.glob(".*"), *folder.glob("checkpoints/.*")]:
        match = TEMPORARY.fullmatch(path.name)
        if match and not process_is_alive({"pid": match[1], "host": socket.gethostname()}):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


@dataclass
class Progress:
    """What ``progress.json`` holds: where a run is now, for a display in any process.

    ``loss`` is the latest training loss in nats a token, ``seconds`` the time in training,
    ``updated`` the clock at the time of writing, ``device`` where it trains (``cpu``,
    ``cuda:0``); ``stage`` is ``preparing``, ``training``, ``testing``, or how it ended:
    ``finished``, ``failed``, ``interrupted``, ``pruned``, ``skipped`` or ``busy``.
    """

    stage: str
    step: int = 0
    total_steps: int | None = None
    epoch: int = 0
    loss: float | None = None
    metric: str | None = None
    value: float | None = None
    tokens_per_second: float | None = None
    seconds: float = 0.0
    device: str | None = None
    pid: int | None = None
    updated: float = 0.0

    def write(self, folder: Path) -> None:
        """Replace ``folder/progress.json``, stamped with the time."""
        self.updated = time.time()
        write_json(folder / PROGRESS, asdict(self))


def read_progress(folder: Path) -> Progress | None:
    """The progress of the run in ``folder``; None where none was written or it is being
    replaced."""
    try:
        values = json.loads((folder / PROGRESS).read_text(encoding="utf-8"))
        return Progress(**values)
    except (OSError, ValueError, TypeError):
        return None


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
