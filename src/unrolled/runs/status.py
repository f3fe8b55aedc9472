"""How far a run has come, from its folder alone."""

from dataclasses import dataclass
from pathlib import Path

from unrolled.errors import RunError
from unrolled.runs.locks import is_held, lock_path
from unrolled.runs.record import RECORD, Record, read_record
from unrolled.runs.spec import RunSpec


@dataclass(frozen=True)
class RunStatus:
    """How far a run has come.

    Attributes:
        folder: of the run; another than its spec's where a sweep named it otherwise.
        state: of its record, or ``new``, ``damaged`` (its record is), or ``busy`` (a process is
            working on it).
        record: as far as there is one.
    """

    folder: Path
    state: str
    record: Record | None = None


def run_status(spec: RunSpec, *, locked: bool = False) -> RunStatus:
    """The status of a run, from its folder alone.

    Args:
        locked: whether the caller holds the run's lock, and so need not ask who does.
    """
    status = _recorded_status(spec)
    if not locked and status.state != "finished" and is_held(lock_path(spec.study, spec.identity)):
        return RunStatus(status.folder, "busy", status.record)
    return status


def _recorded_status(spec: RunSpec) -> RunStatus:
    if (spec.folder / RECORD).is_file():
        try:
            record = read_record(spec.folder)
        except RunError:
            # The name has six letters of the identity; the checkpoint, which has all of it, tells
            # whether it is this run.
            return RunStatus(spec.folder, "damaged")
        if record.identity == spec.identity:
            return RunStatus(spec.folder, record.state, record)
    for path in sorted(spec.study.glob(f"*-{spec.identity[:6]}/{RECORD}")):
        if path.parent == spec.folder:
            continue
        try:
            record = read_record(path.parent)
        except RunError:
            continue
        if record.identity == spec.identity:
            return RunStatus(path.parent, record.state, record)
    return RunStatus(spec.folder, "new")
