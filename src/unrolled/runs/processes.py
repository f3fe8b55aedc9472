"""Which process writes a record, and whether it is still alive."""

import os
import socket
from pathlib import Path
from typing import Any


def process_is_alive(process: dict[str, Any]) -> bool:
    """Whether the process that wrote a record is still there; one on another host is taken to
    be."""
    if not process:
        return False
    if process.get("host") != socket.gethostname():
        return True
    try:
        pid = int(process["pid"])
        os.kill(pid, 0)
    except (KeyError, TypeError, ValueError, OverflowError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    # A number is given to another process in time, after a restart of the machine for one.
    return process.get("started") in (None, _start_of(pid))


def this_process() -> dict[str, Any]:
    """What a record says of the process that writes it."""
    pid = os.getpid()
    return {"pid": pid, "host": socket.gethostname(), "started": _start_of(pid)}


def _start_of(pid: int) -> str | None:
    """When a process started, in the system's own count; None where it does not say."""
    try:
        # The second field is a name in brackets, which may hold spaces.
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return None
    return stat.rpartition(")")[2].split()[19]
