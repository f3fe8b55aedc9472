"""The measurements in docs/performance.md: between two marks, what the results file says."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers.notes import environments, notes
from benchmarks.peers.table import markdown, sweeps_markdown

BEGIN, END = "<!-- measurements: begin -->", "<!-- measurements: end -->"


def update(page: Path, results: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Replace what stands between the marks.

    Raises:
        ValueError: the page lacks a mark.
    """
    text = page.read_text("utf-8")
    if BEGIN not in text or END not in text:
        raise ValueError(f"{page}: lacks {BEGIN} or {END}")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{content(results)}{END}{after}", "utf-8")


def content(results: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Tables, machines and notes, in Markdown."""
    runs, sweeps = results["runs"], results["sweeps"]
    if not runs and not sweeps:
        return "No measurements are recorded yet: `make benchmark` makes them.\n"
    sections = ["; ".join(environments([*runs, *sweeps])) + "."]
    if runs:
        sections.append(markdown(runs))
    if sweeps:
        sections.append(sweeps_markdown(sweeps))
    said = dict.fromkeys(note for run in runs for note in notes(run))
    sections.append("\n".join(f"- {note}" for note in said))
    return "\n\n".join(section for section in sections if section) + "\n"
