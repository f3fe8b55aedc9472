"""What it takes to repeat the runs: commands, versions, hardware, data; and every run."""

import json
import shlex
from collections import Counter
from collections.abc import Iterable
from typing import Any

from unrolled.comparison.formats import duration
from unrolled.comparison.metrics import number
from unrolled.comparison.page.parts import Cell, Quoted, Section, Table
from unrolled.comparison.results import Comparison
from unrolled.runs.record import Record, look_up
from unrolled.runs.sweep_state import read_sweep
from unrolled.runs.text import one_line

_MOST_RUNS = 500
_MOST_VALUES = 6


def repeat(comparison: Comparison) -> Section:
    """Everything in the records that whoever repeats the runs needs."""
    commands = list(dict.fromkeys(_commands(comparison)))
    texts = [Quoted("Commands", "\n".join(commands))] if commands else []
    return Section(
        "repeat",
        "To repeat it",
        "unrolled reproduce RUN trains one of these runs again from its record, and says whether "
        "it came out the same.",
        tables=[_environment(comparison.records), _data(comparison.records), _runs(comparison)],
        texts=texts,
    )


def left_out(comparison: Comparison) -> Section:
    """The runs that the comparison could not use, and why."""
    body = [
        [Cell([one_line(run.name)]), Cell([one_line(run.state)]), Cell([one_line(run.reason)])]
        for run in comparison.left_out[:_MOST_RUNS]
    ]
    if not body:
        return Section("left_out", "")
    headings = [("run", True), ("state", True), ("reason", True)]
    return Section("left_out", "Left out", tables=[Table(headings, body)])


def _commands(comparison: Comparison) -> Iterable[str]:
    """What the studies' sweeps were begun with, and this comparison."""
    for folder in dict.fromkeys(run.folder.parent for run in comparison.runs):
        sweep = read_sweep(folder)
        if sweep is not None and sweep["command"]:
            yield one_line(sweep["command"])
    folders = " ".join(shlex.quote(str(folder)) for folder in comparison.folders)
    baseline = (
        "" if comparison.baseline_is_best else f" --baseline {shlex.quote(comparison.baseline)}"
    )
    asked = [key for key in comparison.keys if key not in comparison.added]
    by = "" if asked == ["cell.name"] else f" --by {shlex.quote(','.join(asked))}"
    across = "" if comparison.ranking is None else " --across data"
    margin = ""
    if comparison.margin is not None:
        margin = f" --equivalence {shlex.quote(comparison.margin.text.replace(' ', ''))}"
    options = f"--metric {comparison.metric}{baseline}{by}{across}{margin}"
    yield one_line(f"unrolled compare {folders} {options}")


def _environment(records: list[Record]) -> Table:
    """What the runs ran on and with: each value, and of how many runs where they differ."""

    def packages(record: Record) -> dict[str, Any]:
        found = record.environment.get("packages")
        return found if isinstance(found, dict) else {}

    found = [{**record.environment, **packages(record)} for record in records]
    names = dict.fromkeys(name for one in found for name in one if name != "packages")
    body = [
        [
            Cell([one_line(name).replace("_", " ")]),
            Cell(_counted(one.get(name) for one in found)),
        ]
        for name in names
    ]
    return Table([("versions and hardware", True), ("", True)], body)


def _counted(values: Iterable[Any]) -> list[str]:
    found = Counter("none" if value is None else str(value) for value in values)
    if len(found) == 1:
        return [one_line(next(iter(found)))]
    lines = [
        f"{one_line(text)} ({count} run{'' if count == 1 else 's'})"
        for text, count in found.most_common(_MOST_VALUES)
    ]
    left = len(found) - len(lines)
    return [*lines, f"and {left} more"] if left else lines


def _data(records: list[Record]) -> Table:
    """Each data set with its fingerprint and sizes."""
    found = {json.dumps(_about(record), sort_keys=True, default=str): record for record in records}
    body = [
        [
            Cell([one_line(str(record.data.get("name", "-")))]),
            Cell([one_line(str(record.data.get("fingerprint", "-")))], marks="long"),
            Cell(_sizes(record)),
        ]
        for record in [*found.values()][:_MOST_RUNS]
    ]
    return Table([("data", True), ("SHA-256", True), ("sizes", True)], body)


def _about(record: Record) -> list[Any]:
    return [record.data.get(name) for name in ("name", "fingerprint", "sizes")]


def _sizes(record: Record) -> list[str]:
    sizes = record.data.get("sizes")
    if not isinstance(sizes, dict):
        return ["-"]
    return [
        one_line(f"{split}: {', '.join(f'{k} {_written(v)}' for k, v in of.items())}")
        for split, of in sizes.items()
        if isinstance(of, dict)
    ]


def _runs(comparison: Comparison) -> Table:
    """Every run of the table."""
    headings = [
        ("run", True), ("row", True), ("seed", False), (comparison.metric, False),
        (comparison.other, False), ("seconds", False), ("started", True), ("folder", True),
    ]  # fmt: skip
    every = [(row, run) for row in comparison.rows for run in row.runs]
    body = []
    for row, run in every[:_MOST_RUNS]:
        record = run.record
        seconds = number(look_up(record, "timing.seconds"))
        body.append(
            [
                Cell([one_line(record.name)]),
                Cell([one_line(row.label)]),
                _number(record.seed),
                _number(row.by_replicate.get(run.replicate)),
                _number(row.other_by_replicate.get(run.replicate)),
                Cell([duration(seconds)], seconds),
                Cell([one_line(str(record.timing.get("started", "-"))[:16])]),
                Cell([one_line(str(run.folder))], marks="long"),
            ]
        )
    title = f"{len(every):,} runs"
    if len(every) > _MOST_RUNS:
        title = f"The first {_MOST_RUNS} of {len(every):,} runs; comparison.json has all"
    return Table(headings, body, title=title)


def _number(value: float | None) -> Cell:
    if value is None:
        return Cell(["-"])
    finite = abs(value) < 1e308
    return Cell([_written(value)], value if finite else None)


def _written(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.5g}"
