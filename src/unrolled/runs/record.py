"""The record of a run: one JSON file that is the run's whole truth, written atomically.

A comparison, a listing and a live display read records and nothing else, so this module imports
nothing heavy. The fields are fixed in ``Record``; ``state`` is derived, since a killed process
cannot write.
"""

import importlib
import json
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from unrolled.errors import RunError
from unrolled.runs.files import write_json
from unrolled.runs.processes import process_is_alive
from unrolled.runs.task import TaskDescription

SCHEMA_VERSION = 2
RECORD = "record.json"
# The folder of a run's checkpoints, and the one with the best monitored metric.
CHECKPOINTS, BEST = "checkpoints", "best.ckpt"
# Of error types: the run itself is sound, and the same command goes on with it.
INTERRUPTED = ("KeyboardInterrupt", "Killed", "StorageError")
# Of error types: a search has stopped the run.
STOPPED = {"PausedError": "paused", "PrunedError": "pruned"}
# What whoever reads a record relies on.
SHAPES: dict[str, type] = {
    "config": dict,
    "task": dict,
    "data": dict,
    "model": dict,
    "metrics": dict,
    "best": dict,
    "timing": dict,
    "environment": dict,
    "process": dict,
    "figures": dict,
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
    metrics. ``status`` is ``running``, ``finished`` or ``failed``. ``task`` is what
    ``description`` gives as an object: what the metrics mean, and what a result must beat.
    ``figures`` are what the best checkpoint's test gave besides numbers, see ``runs.figures``.
    """

    identity: str
    study: str
    name: str
    seed: int
    config: dict[str, Any]
    status: str = "running"
    task: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    best: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    timing: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    process: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, dict[str, Any]] = field(default_factory=dict)
    error: dict[str, str] | None = None
    schema_version: int = SCHEMA_VERSION

    @cached_property
    def description(self) -> TaskDescription:
        """The task's name, metrics and baselines.

        Raises:
            RunError: the record's ``task`` is damaged.
        """
        try:
            return TaskDescription.from_dict(self.task)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RunError(
                f"{self.name}: its record is damaged, task lacks or misstates {error}; delete the "
                "folder and train again"
            ) from error

    @property
    def state(self) -> str:
        """``finished``, ``running``, ``failed``, ``interrupted`` (stopped by hand, killed, or out
        of disk), ``paused`` (its search compares it with others first), or ``pruned`` (given up by
        a search)."""
        if self.status == "failed" and self.error:
            kind = self.error["type"]
            if kind in INTERRUPTED:
                return "interrupted"
            if kind in STOPPED:
                return STOPPED[kind]
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
    version = values.get("schema_version")
    if version not in (1, SCHEMA_VERSION):
        raise RunError(
            f"{path}: schema version {version}, and this program reads 1 and {SCHEMA_VERSION}; "
            "read it with the version of unrolled that wrote it"
        )
    missing = {"identity", "study", "name", "seed", "config", "status"} - values.keys()
    if missing:
        raise RunError(f"{path}: damaged, it lacks {', '.join(sorted(missing))}")
    if version == 1:
        values["task"] = _first_description(values, path)
    known = {f.name for f in fields(Record)}
    record = Record(**{key: value for key, value in values.items() if key in known})
    for name, shape in SHAPES.items():
        if not isinstance(getattr(record, name), shape):
            raise RunError(
                f"{folder}: its record is damaged, {name} is no {shape.__name__}; "
                "delete the folder and train again"
            )
    for figures in (record.metrics, record.best, *record.history):
        _restore_non_finite(figures)
    return record


def best_path(folder: Path) -> Path:
    """Where a run's best checkpoint is.

    Raises:
        RunError: there is none.
    """
    path = folder / CHECKPOINTS / BEST
    if not path.is_file():
        raise RunError(
            f"{path}: no such checkpoint; a run writes it at its first validation, so this run "
            "did not get there, or the file was removed"
        )
    return path


def look_up(record: Record, path: str) -> Any:
    """What a record has at a dotted path such as ``data.name``; None where it has nothing."""
    field, *keys = path.split(".")
    value: Any = getattr(record, field, None)
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _first_description(values: dict[str, Any], path: Path) -> dict[str, Any]:
    """The task's description, which records of schema 1 lack, from the task that wrote them."""
    task = values["config"].get("task") if isinstance(values["config"], dict) else None
    target = str(task.get("_target_", "")) if isinstance(task, dict) else ""
    if not target.startswith("unrolled.tasks."):
        raise RunError(f"{path}: damaged, its configuration names no task of schema version 1")
    try:
        described = importlib.import_module(target.rpartition(".")[0]).describe_schema_1(values)
    except (ImportError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise RunError(f"{path}: damaged, its task cannot be described ({error})") from error
    assert isinstance(described, dict)
    return described


def _restore_non_finite(figures: Any) -> None:
    """Make the words that stand for infinity and NaN in JSON numbers again."""
    if isinstance(figures, dict):
        for name, value in figures.items():
            if value in ("inf", "-inf", "nan"):
                figures[name] = float(value)


def find_runs(folder: Path) -> list[Path]:
    """The run folders at or below ``folder``, sorted by path.

    Raises:
        RunError: ``folder`` does not exist.
    """
    if not folder.is_dir():
        raise RunError(f"{folder}: no such folder; train something first, or name another")
    return sorted(path.parent for path in folder.rglob(RECORD))
