"""What ``unrolled diagnose`` leaves in a run's folder, for whoever shows runs side by side."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unrolled.runs.files import write_json

DIAGNOSTICS = "diagnostics.json"


def write_diagnostics(folder: Path, values: Mapping[str, Any]) -> Path:
    """Write a run's diagnostics in one step: ``figures`` by name as ``runs.figures`` has them
    plain, ``numbers`` by name, and what they are about.

    Raises:
        StorageError: the folder cannot be written.
    """
    path = folder / DIAGNOSTICS
    write_json(path, values)
    return path


def read_figures(folder: Path) -> dict[str, Any]:
    """The plain figures of a run's diagnostics, by name; none where there are none, or a file that
    cannot be read."""
    try:
        values = json.loads((folder / DIAGNOSTICS).read_text(encoding="utf-8"))
        figures = values["figures"]
    except (OSError, ValueError, LookupError, TypeError):
        return {}
    return figures if isinstance(figures, dict) else {}
