"""Following a study from another terminal."""

import json
import time
from pathlib import Path

from rich.console import Console

from unrolled.errors import RunError
from unrolled.sweeps.display import INTERVAL, Display
from unrolled.sweeps.sweep import SWEEP
from unrolled.training.record import find_runs


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
    started = json.loads(path.read_text(encoding="utf-8"))
    jobs = started["jobs"]
    with Display(folder, console, total=jobs, since=started["started"]) as display:
        while len(display.ended) < jobs:
            time.sleep(INTERVAL)
