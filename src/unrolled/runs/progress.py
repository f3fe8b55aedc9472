"""Where a run is now, for a display in any process: ``progress.json``."""

import json
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from unrolled.runs.files import read_number, write_json

PROGRESS = "progress.json"
TEXTS = ("stage", "metric", "device")
COUNTS = ("step", "total_steps", "epoch", "pid")


@dataclass
class Progress:
    """What ``progress.json`` holds: where a run is now, for a display in any process.

    ``loss`` is the latest training loss, ``seconds`` the time in training, ``updated`` the clock
    at the time of writing, ``device`` where it trains (``cpu``, ``cuda:0``); ``stage`` is
    ``preparing``, ``training``, ``testing``, or how it ended: ``finished``, ``failed``,
    ``interrupted``, ``paused``, ``pruned``, ``skipped`` or ``busy``.
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
    """The progress of the run in ``folder``, fields of a wrong type left at their defaults; None
    where there is none, or a damaged one."""
    try:
        values = json.loads((folder / PROGRESS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(values, dict) or not isinstance(values.get("stage"), str):
        return None
    known: dict[str, Any] = {}
    for field in fields(Progress):
        value = values.get(field.name)
        if field.name in TEXTS:
            usable = isinstance(value, str)
        elif field.name in COUNTS:
            usable = isinstance(value, int) and not isinstance(value, bool)
        else:
            value = read_number(value)
            usable = value is not None
        if usable:
            known[field.name] = value
    return Progress(**known)
