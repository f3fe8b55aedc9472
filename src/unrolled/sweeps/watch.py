"""Following a study from another terminal."""

import json
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from unrolled.errors import RunError
from unrolled.sweeps.display import INTERVAL, Display
from unrolled.sweeps.sweep import SWEEP
from unrolled.training.record import find_runs, process_is_alive


def watch(folder: Path, console: Console) -> None:
    """Show the runs under way below a study's folder until its sweep is done, or Ctrl-C.

    Raises:
        RunError: there is no such folder, or no sweep in it.
    """
    path = folder / SWEEP
    if not path.is_file():
        find_runs(folder)
        raise RunError(
            f"{folder}: no sweep was started there; name the folder of a study, such as "
            "outputs/default"
        )
    state = _read(path)
    with Display([folder], console, total=state["jobs"], since=state["started"]):
        # Read anew, since the sweep's process says there when it has ended.
        while _read(path)["ended"] is None and process_is_alive(state["process"]):
            time.sleep(INTERVAL)


def _read(path: Path) -> dict[str, Any]:
    state = json.loads(path.read_text(encoding="utf-8"))
    assert isinstance(state, dict)
    return state
