"""The file of measurements, in the order of the works: each stands for itself, and a new one
replaces the old of its kind from the same machine."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from benchmarks.peers.works import WORKS

from unrolled.runs.files import write_json

Results = dict[str, list[dict[str, Any]]]
# What makes two measurements of a kind the same, besides the machine.
KEYS = {"runs": ("work", "threads", "device"), "sweeps": ("work", "runs", "device")}


def read(path: Path) -> Results:
    """The measurements in a file; none where there is no file."""
    if not path.is_file():
        return {kind: [] for kind in KEYS}
    found: Results = json.loads(path.read_text("utf-8"))
    return found


def machine_of(measurement: Mapping[str, Any]) -> str:
    """The GPU, or the processor with the instructions that PyTorch uses of it."""
    about = measurement["environment"]
    if measurement["device"] == "cuda":
        return str(about["gpu"])
    return f"{about['cpu']} with {about['instruction_set']}"


def add(path: Path, kind: Literal["runs", "sweeps"], measurement: dict[str, Any]) -> Results:
    """Put a measurement into a file, in the place of an earlier one of the same key.

    Returns:
        All that the file now has.
    """
    results = read(path)

    def key(one: dict[str, Any]) -> tuple[Any, ...]:
        return (*(one[name] for name in KEYS[kind]), machine_of(one))

    kept = {key(one): one for one in results[kind]} | {key(measurement): measurement}
    places = {work: place for place, work in enumerate(WORKS)}
    # A work that is no longer measured comes last.
    results[kind] = sorted(
        kept.values(), key=lambda one: (places.get(one["work"], len(places)), key(one))
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, results)
    return results
