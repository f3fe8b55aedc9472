"""What ``unrolled diagnose`` leaves in a run's folder, for whoever shows runs side by side."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unrolled.errors import RunError
from unrolled.runs.files import write_json

DIAGNOSTICS = "diagnostics.json"
_LARGEST = 16_000_000  # bytes of a file that is read whole


def write_diagnostics(folder: Path, values: Mapping[str, Any]) -> Path:
    """Write a run's diagnostics in one step: ``figures`` by name as ``runs.figures`` has them
    plain, ``numbers`` by name, and what they are about.

    Raises:
        StorageError: the folder cannot be written.
    """
    path = folder / DIAGNOSTICS
    write_json(path, values)
    return path


def read_diagnostics(folder: Path) -> dict[str, dict[str, Any]]:
    """The plain ``figures`` and the ``numbers`` of a run's diagnostics, by name; both are empty
    where there are none.

    Raises:
        RunError: the file is damaged.
    """
    path = folder / DIAGNOSTICS
    values: Any = {}
    if path.is_file():
        try:
            if path.stat().st_size > _LARGEST:
                raise ValueError(f"larger than {_LARGEST:,} bytes")
            values = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(f"{path}: cannot be read ({error}); diagnose the run again") from error
    if not isinstance(values, dict):
        raise RunError(f"{path}: damaged, it holds no diagnostics; diagnose the run again")
    parts = {name: values.get(name, {}) for name in ("figures", "numbers")}
    if not all(isinstance(part, dict) for part in parts.values()):
        raise RunError(f"{path}: damaged, it holds no diagnostics; diagnose the run again")
    return parts
