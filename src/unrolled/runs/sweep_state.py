"""What a sweep says of itself in its study's folder: ``sweep.json``."""

import json
from pathlib import Path
from typing import Any

from unrolled.runs.processes import process_is_alive

SWEEP = "sweep.json"


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
