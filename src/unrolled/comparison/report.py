"""Many records to one answer: the comparison, as data and as files beside the runs."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unrolled.comparison import plots
from unrolled.comparison.chance import chance_levels
from unrolled.comparison.collect import LeftOut, Runs, collect
from unrolled.comparison.grouping import CELL, Group, Run
from unrolled.comparison.metrics import choose_metric, counterpart, incomparable, value_of
from unrolled.comparison.notes import answer, next_steps, notes
from unrolled.comparison.results import Comparison, Row, make_row
from unrolled.comparison.searches import search_figures
from unrolled.comparison.statistics import (
    Difference,
    paired_difference,
    with_verdicts,
)
from unrolled.comparison.table import markdown
from unrolled.errors import ConfigError, RunError
from unrolled.metrics.names import lower_is_better
from unrolled.runs.files import atomic_path, write_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCHEMA_VERSION = 1
FOLDER = "comparison"


def compare(
    folders: Sequence[Path],
    metric: str | None = None,
    baseline: str | None = None,
    by: Sequence[str] | None = None,
    output: Path | None = None,
) -> Comparison:
    """Compare the finished runs at or below ``folders`` and write the result to ``output``.

    Args:
        metric: such as ``validation/accuracy``; None: see ``choose_metric``.
        baseline: the label of the row that the others are held against; None: the best one.
        by: configuration keys that make a row; None: the cell. Keys in which the runs of a row
        would
            differ are added.
        output: a folder; None: ``comparison`` in the first of ``folders``.

    Raises:
        RunError: no finished run, none with the metric, or the output cannot be written.
        ConfigError: a metric, a baseline or a key that no run has.
    """
    comparison = analyse(collect(folders, by), list(folders), metric, baseline)
    output = output or folders[0] / FOLDER
    write(comparison, output)
    return comparison


def analyse(
    runs: Runs, folders: list[Path], metric: str | None = None, baseline: str | None = None
) -> Comparison:
    """The comparison as data; nothing is written.

    Raises:
        RunError: no run has a figure for the metric.
        ConfigError: a metric or a baseline that no run has.
    """
    metric = choose_metric(runs.runs, metric)
    other = counterpart(metric)
    groups, without = _with_metric(runs.groups, metric)
    if not groups:
        raise RunError(f"no finished run has a finite {metric}; choose another with --metric")
    rows = [make_row(group, metric, other) for group in groups]
    sign = 1 if lower_is_better(metric) else -1
    rows.sort(key=lambda row: (sign * row.value.mean, row.label))
    base = rows[0] if baseline is None else _find(rows, baseline)
    differences = with_verdicts([_difference(row, base, metric) for row in rows], metric)
    for row, difference in zip(rows, differences, strict=True):
        row.difference = None if row is base else difference
    kept = [run for group in groups for run in group.runs]
    comparison = Comparison(
        folders=folders,
        metric=metric,
        other=other,
        keys=runs.keys,
        rows=rows,
        baseline=base.label,
        baseline_is_best=baseline is None,
        chance=chance_levels(kept, metric, other),
        notes=[],
        answer=answer(rows, base, metric),
        left_out=[*runs.left_out, *without],
    )
    comparison.notes.extend(notes(comparison, runs.added))
    return comparison


def write(comparison: Comparison, output: Path) -> None:
    """Write comparison.md, comparison.json and the pictures to ``output``, each in one step.

    Raises:
        RunError: the folder cannot be written.
    """
    searches, missing = search_figures([run for row in comparison.rows for run in row.runs])
    comparison.notes.extend(missing)
    pictures: dict[str, Figure | None] = {
        "learning_curves.png": plots.learning_curves(comparison),
        "seeds.png": plots.seeds(comparison),
        **searches,
    }
    for name, figure in pictures.items():
        if figure is not None:
            with atomic_path(output / name) as path:
                figure.savefig(path, format="png", dpi=plots.DPI)
            comparison.files.append(output / name)
    curves = output / "learning_curves.png"
    comparison.next_steps.extend(
        next_steps(comparison, curves if curves in comparison.files else None)
    )
    comparison.next_steps.extend(f"the search: {output / name}" for name in searches)
    write_json(output / "comparison.json", to_json(comparison))
    names = [path.name for path in comparison.files]
    with atomic_path(output / "comparison.md") as path:
        path.write_text(markdown(comparison, names), encoding="utf-8")
    comparison.files.extend([output / "comparison.md", output / "comparison.json"])


def to_json(comparison: Comparison) -> dict[str, Any]:
    """Every number of the comparison, from single runs to verdicts, as plain containers."""
    return {
        "schema_version": SCHEMA_VERSION,
        "folders": [str(folder) for folder in comparison.folders],
        "metric": comparison.metric,
        "better": "lower" if lower_is_better(comparison.metric) else "higher",
        "other_metric": comparison.other,
        "baseline": comparison.baseline,
        "keys": comparison.keys,
        "groups": [row.to_json(comparison.metric, comparison.other) for row in comparison.rows],
        "chance": [
            {"label": level.label, comparison.metric: level.value, comparison.other: level.other}
            for level in comparison.chance
        ],
        "answer": comparison.answer,
        "notes": [note.text for note in comparison.notes],
        "left_out": [
            {"name": run.name, "folder": str(run.folder), "state": run.state, "reason": run.reason}
            for run in comparison.left_out
        ],
    }


def _with_metric(groups: list[Group], metric: str) -> tuple[list[Group], list[LeftOut]]:
    """The groups without the runs that lack the metric, and those runs."""
    kept = []
    left_out = []
    for group in groups:
        runs: list[Run] = []
        for run in group.runs:
            if value_of(run.record, metric) is None:
                reason = f"its {metric} is missing or not finite"
                left_out.append(LeftOut(run.record.name, run.folder, "without the metric", reason))
            else:
                runs.append(run)
        if runs:
            kept.append(Group(group.label, group.values, runs))
    return kept, left_out


def _difference(row: Row, base: Row, metric: str) -> Difference:
    if row is base:
        return Difference(row.seeds, None)
    reason = incomparable(row.runs[0].record, base.runs[0].record, metric)
    if reason is not None:
        return Difference([], None, verdict=reason)
    return paired_difference(row.by_seed, base.by_seed)


def _find(rows: list[Row], name: str) -> Row:
    """The row called ``name``, by its label or by its cell where that is unique."""
    exact = [row for row in rows if row.label == name]
    matches = exact or [row for row in rows if row.values.get(CELL) == name]
    if len(matches) == 1:
        return matches[0]
    labels = [row.label for row in rows]
    if matches:
        names = ", ".join(repr(row.label) for row in matches)
        raise ConfigError(f"baseline={name}: {len(matches)} rows match; choose one of {names}")
    near = difflib.get_close_matches(name, labels, n=1, cutoff=0.3)
    hint = f"nearest: {near[0]!r}" if near else f"there are {', '.join(map(repr, labels[:8]))}"
    raise ConfigError(f"baseline={name}: no row of this comparison is called so; {hint}")
