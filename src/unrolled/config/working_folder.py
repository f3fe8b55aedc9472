"""Modules of the working folder, where a person's own cells, tasks and data sets are."""

import os
import sys
from pathlib import Path

_searched: str | None = None


def search_working_folder(folder: Path | None = None) -> None:
    """Let modules of the working folder be imported, after all that is installed: a file called
    ``tokenizers.py`` there must not stand in for the library. Processes that this one starts
    search theirs in the same order.

    Args:
        folder: another one, for a process that was started elsewhere.
    """
    global _searched
    here = str(folder or Path.cwd())
    sys.path[:] = [place for place in sys.path if place not in ("", here, _searched)]
    sys.path.append(here)
    _searched = here
    # What Python would put before everything else in a process that is started with -c or -m.
    os.environ["PYTHONSAFEPATH"] = "1"
