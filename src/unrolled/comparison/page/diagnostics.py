"""What a run folder has beside its record: ``diagnostics.json``, and samples of generated text.

A comparison rests on records; what is missing here, or damaged, is left out of the page and said.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from unrolled.comparison.metrics import number
from unrolled.comparison.page import marks
from unrolled.comparison.page.parts import Quoted, Section
from unrolled.comparison.results import Comparison
from unrolled.comparison.rows import Row
from unrolled.comparison.run_figures import figures_of
from unrolled.errors import RunError
from unrolled.runs.diagnostics import read_diagnostics
from unrolled.runs.figures import Figure
from unrolled.runs.files import read_number
from unrolled.runs.text import one_line, printable

_SAMPLES = ("samples.txt", "generated.txt")  # the second in runs of the first version
_TAIL = 32_000  # bytes, which hold the last of the samples
_MOST_CHARACTERS = 1_200
_STEP = re.compile(r"^--- (step \d+)\n", re.MULTILINE)


@dataclass(frozen=True)
class Diagnostics:
    """By name, then by row, what ``diagnostics.json`` of the runs holds; numbers as means.

    ``damaged`` says of each file that cannot be read why.
    """

    figures: dict[str, dict[str, list[Figure]]] = field(default_factory=dict)
    numbers: dict[str, dict[str, float]] = field(default_factory=dict)
    damaged: tuple[str, ...] = ()


def find_diagnostics(rows: Sequence[Row]) -> Diagnostics:
    """Read those of the first rows' runs that have some."""
    found = Diagnostics()
    damaged = []
    for row in rows[: marks.MOST_ROWS]:
        numbers: dict[str, list[float]] = {}
        for run in row.runs:
            try:
                values = read_diagnostics(run.folder)
            except RunError as error:
                damaged.append(str(error))
                continue
            for name in values["figures"]:
                of = found.figures.setdefault(name, {})
                of.setdefault(one_line(row.label), []).extend(figures_of(values["figures"], name))
            for name, value in values["numbers"].items():
                if (known := number(read_number(value))) is not None:
                    numbers.setdefault(name, []).append(known)
        for name, of_runs in numbers.items():
            found.numbers.setdefault(name, {})[row.label] = sum(of_runs) / len(of_runs)
    return Diagnostics(found.figures, found.numbers, tuple(damaged))


def samples(comparison: Comparison) -> Section:
    """The last sample of each row's best run."""
    sign = 1 if comparison.about.lower_is_better else -1
    texts = []
    for row in comparison.rows[: marks.MOST_ROWS]:
        for run in sorted(row.runs, key=lambda run: sign * row.by_replicate[run.replicate])[:1]:
            texts += [
                Quoted(one_line(f"{row.label} ({run.record.name}{step})"), text)
                for step, text in _sample(run.folder)
            ]
    intro = (
        "What the best run of each row wrote at its last validation; control characters as \\x…"
    )
    return Section("samples", "Generated text", intro, texts=texts)


def _sample(folder: Path) -> Iterator[tuple[str, str]]:
    path = next((folder / name for name in _SAMPLES if (folder / name).is_file()), None)
    if path is None:
        return
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _TAIL))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return
    steps = list(_STEP.finditer(text))
    step, text = (f", {steps[-1][1]}", text[steps[-1].end() :]) if steps else ("", text)
    text = printable(text.strip("\n"))
    cut = "…" if len(text) > _MOST_CHARACTERS else ""
    yield step, text[:_MOST_CHARACTERS] + cut
