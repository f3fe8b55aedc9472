"""Where a run is now, for a display in any process: ``progress.json``."""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from unrolled.runs.files import write_json

PROGRESS = "progress.json"


@dataclass
class Progress:
    """What ``progress.json`` holds: where a run is now, for a display in any process.

    ``loss`` is the latest training loss in nats a token, ``seconds`` the time in training,
    ``updated`` the clock at the time of writing, ``device`` where it trains (``cpu``,
    ``cuda:0``); ``stage`` is ``preparing``, ``training``, ``testing``, or how it ended:
    ``finished``, ``failed``, ``interrupted``, ``pruned``, ``skipped`` or ``busy``.
    """

    stage: str
    step: int = 0
    total_steps: int | None = None
    epoch: int = 0
    loss: float | None = None
    metric: str | None = None
    value: float | None = None
    tokens_per_second: float | None = None
    seconds: float = 0.0
    device: str | None = None
    pid: int | None = None
    updated: float = 0.0

    def write(self, folder: Path) -> None:
        """Replace ``folder/progress.json``, stamped with the time."""
        self.updated = time.time()
        write_json(folder / PROGRESS, asdict(self))


def read_progress(folder: Path) -> Progress | None:
    """The progress of the run in ``folder``; None where none was written or it is being
    replaced."""
    try:
        values = json.loads((folder / PROGRESS).read_text(encoding="utf-8"))
        return Progress(**values)
    except (OSError, ValueError, TypeError):
        return None
