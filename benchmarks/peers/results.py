"""The file of measurements: each stands for itself, and a new one replaces the old of its kind."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unrolled.runs.files import write_json

KEY = ("work", "threads", "device")


def read(path: Path) -> list[dict[str, Any]]:
    """The measurements in a file; none where there is no file."""
    if not path.is_file():
        return []
    found: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))["measurements"]
    return found


def write(path: Path, measurements: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Put measurements into a file, each in the place of the one of its work, threads and device.

    Returns:
        All that the file now has.
    """
    kept = {tuple(one[key] for key in KEY): one for one in read(path)}
    kept |= {tuple(one[key] for key in KEY): dict(one) for one in measurements}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"measurements": list(kept.values())})
    return list(kept.values())
