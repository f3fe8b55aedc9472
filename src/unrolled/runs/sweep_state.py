"""What a sweep says of itself in its study's folder: ``sweep.json``."""

import json
from pathlib import Path
from typing import Any

from unrolled.runs.files import read_number
from unrolled.runs.processes import process_is_alive

SWEEP = "sweep.json"


def read_sweep(folder: Path) -> dict[str, Any] | None:
    """What the latest sweep of a study says of itself: ``jobs`` (how many runs), ``started`` and
    ``ended`` (seconds since the epoch), ``command``, ``process``; None where there was none.

    A field of a wrong type is as one that is missing: 0, empty, or None for ``ended``.
    """
    try:
        state = json.loads((folder / SWEEP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(state, dict):
        return None
    jobs, command, process = state.get("jobs"), state.get("command"), state.get("process")
    return {
        "jobs": jobs if isinstance(jobs, int) else 0,
        "started": read_number(state.get("started")) or 0.0,
        "ended": read_number(state.get("ended")),
        "command": command if isinstance(command, str) else "",
        "process": process if isinstance(process, dict) else {},
    }


def is_under_way(sweep: dict[str, Any] | None) -> bool:
    """Whether a sweep's process is still at work."""
    return sweep is not None and sweep["ended"] is None and process_is_alive(sweep["process"])
