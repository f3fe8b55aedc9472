"""The measurements in docs/performance.md: between two marks, what the results file says."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers.notes import notes
from benchmarks.peers.results import Results, machine_of
from benchmarks.peers.table import markdown, parts_markdown, sweeps_markdown

BEGIN, END = "<!-- measurements: begin -->", "<!-- measurements: end -->"


def update(page: Path, results: Results) -> None:
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


def content(results: Results) -> str:
    """For each machine, tables and notes, in Markdown; first the one with most measurements."""
    machines: dict[str, Results] = {}
    for kind, measurements in results.items():
        for one in measurements:
            own = machines.setdefault(machine_of(one), {name: [] for name in results})
            own[kind].append(one)
    if not machines:
        return "No measurements are recorded yet: `make benchmark` makes them.\n"
    most = sorted(machines, key=lambda name: -sum(map(len, machines[name].values())))
    return "\n\n".join(_of_machine(name, machines[name]) for name in most) + "\n"


def _of_machine(machine: str, results: Results) -> str:
    runs, sweeps = results["runs"], results["sweeps"]
    sections = [f"**{machine}**: {'; '.join(_versions([*runs, *sweeps]))}."]
    if runs:
        sections += [markdown(runs), parts_markdown(runs)]
    if sweeps:
        sections.append(sweeps_markdown(sweeps))
    said = dict.fromkeys(note for run in runs for note in notes(run))
    sections.append("\n".join(f"- {note}" for note in said))
    return "\n\n".join(section for section in sections if section)


def _versions(measurements: Sequence[Mapping[str, Any]]) -> list[str]:
    """With what the measurements were made, and on which days."""
    found: dict[str, list[str]] = {}
    for measurement in measurements:
        about = measurement["environment"]
        line = f"PyTorch {about['torch']}, Python {about['python']}, unrolled {about['unrolled']}"
        found.setdefault(line, []).append(measurement["date"][:10])
    return [f"{line}, {' and '.join(sorted({*days}))}" for line, days in found.items()]
