"""Following a sweep from another terminal."""

import time
from pathlib import Path

from rich.console import Console

from unrolled.errors import RunError
from unrolled.runs.record import find_runs
from unrolled.runs.sweep_state import SWEEP, is_under_way, read_sweep
from unrolled.runs.text import printable
from unrolled.sweeps.display import INTERVAL, Display


def watch(folder: Path, console: Console) -> None:
    """Show the runs of a sweep until it is done, or Ctrl-C.

    Args:
        folder: of a study; or one above studies, for the sweep under way there, or the latest.

    Raises:
        RunError: there is no such folder, or no sweep in it.
    """
    paths = [folder / SWEEP] if (folder / SWEEP).is_file() else sorted(folder.rglob(SWEEP))
    sweeps = [(path.parent, state) for path in paths if (state := read_sweep(path.parent))]
    if not sweeps:
        find_runs(folder)
        raise RunError(
            f"{folder}: no sweep was started there; name the folder of a study, such as "
            "outputs/default"
        )
    chosen, state = max(sweeps, key=lambda sweep: (is_under_way(sweep[1]), sweep[1]["started"]))
    # A sweep over several studies says the same in each.
    studies = [study for study, other in sweeps if _same(state, other)]
    if studies != [folder]:
        where = printable(", ".join(map(str, studies)))
        console.print(f"following {where}", highlight=False, markup=False, soft_wrap=True)
    with Display(console, total=state["jobs"], follow=studies, since=state["started"]):
        # Read anew, since the sweep's process says there when it has ended.
        while is_under_way(read_sweep(chosen)):
            time.sleep(INTERVAL)


def _same(one: dict[str, object], other: dict[str, object]) -> bool:
    return (one["process"], one["started"]) == (other["process"], other["started"])
