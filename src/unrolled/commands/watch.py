"""Following a study from another terminal."""

import time
from pathlib import Path

from rich.console import Console

from unrolled.errors import RunError
from unrolled.runs.record import find_runs
from unrolled.runs.sweep_state import is_under_way, read_sweep
from unrolled.sweeps.display import INTERVAL, Display


def watch(folder: Path, console: Console) -> None:
    """Show the runs under way below a study's folder until its sweep is done, or Ctrl-C.

    Raises:
        RunError: there is no such folder, or no sweep in it.
    """
    state = read_sweep(folder)
    if state is None:
        find_runs(folder)
        raise RunError(
            f"{folder}: no sweep was started there; name the folder of a study, such as "
            "outputs/default"
        )
    with Display([folder], console, total=state["jobs"], since=state["started"]):
        # Read anew, since the sweep's process says there when it has ended.
        while is_under_way(read_sweep(folder)):
            time.sleep(INTERVAL)
