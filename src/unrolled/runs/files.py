"""Files that are there whole or not at all, whatever happens to the process that writes them."""

import contextlib
import json
import math
import os
import re
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

from unrolled.errors import StorageError, full_disk_said
from unrolled.runs.processes import process_is_alive

# What a file is called until it is whole; the first number is of the process.
TEMPORARY = re.compile(r"\..+\.(\d+)\.\d+")


def write_json(path: Path, value: object) -> None:
    """Write ``value`` to ``path`` in one step, numbers that JSON lacks as ``"inf"``,
    ``"-inf"`` and ``"nan"``."""
    with atomic_path(path) as temporary:
        temporary.write_text(json_text(value) + "\n", encoding="utf-8")


def json_text(value: object) -> str:
    """``value`` as JSON, numbers that it lacks as ``"inf"``, ``"-inf"`` and ``"nan"``."""
    return json.dumps(_plain(value), indent=1, ensure_ascii=False, allow_nan=False)


def read_number(value: object) -> float | None:
    """A number from JSON as ``write_json`` writes it; None for what is none."""
    if value in ("inf", "-inf", "nan"):
        return float(str(value))
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


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


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
