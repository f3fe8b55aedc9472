"""Many records to one answer: the comparison, as data and as files beside the runs."""

import difflib
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from unrolled.comparison import plots
from unrolled.comparison.answer import answer, next_steps, why_no_headline
from unrolled.comparison.collect import LeftOut, Runs, collect
from unrolled.comparison.columns import make_columns
from unrolled.comparison.expected_best_plot import expected_best_plots
from unrolled.comparison.export import markdown, to_csv, to_json
from unrolled.comparison.grouping import CELL, SEARCH, Group, Run
from unrolled.comparison.key_plots import key_plots
from unrolled.comparison.latex import to_latex
from unrolled.comparison.metrics import choose_metric, counterpart, value_of
from unrolled.comparison.notes import notes
from unrolled.comparison.page.build import page
from unrolled.comparison.pairs import Pair, compare_pairs
from unrolled.comparison.rank_plots import critical_difference
from unrolled.comparison.ranking import rank_rows
from unrolled.comparison.references import references
from unrolled.comparison.results import Comparison
from unrolled.comparison.rows import Row
from unrolled.comparison.run_figures import run_figures
from unrolled.comparison.search_plots import search_figures
from unrolled.comparison.searches import Search, find_searches
from unrolled.comparison.statistics import Margin
from unrolled.comparison.statistics.effects import effects
from unrolled.comparison.tensorboard import write_tensorboard
from unrolled.comparison.tuning_plot import tuning
from unrolled.errors import ConfigError, RunError
from unrolled.figures.style import DPI
from unrolled.runs.files import atomic_path, write_json
from unrolled.runs.record import look_up
from unrolled.runs.task import Metric

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOLDER = "comparison"
_LONGEST_NAME = 100


@dataclass(frozen=True)
class Written:
    """What was written of a comparison, and where to look next."""

    files: tuple[Path, ...]
    next_steps: tuple[str, ...]


def compare(
    folders: Sequence[Path],
    metric: str | None = None,
    baseline: str | None = None,
    by: Sequence[str] | None = None,
    output: Path | None = None,
    equivalence: str | None = None,
    across_data: bool = False,
) -> tuple[Comparison, Written]:
    """Compare the finished runs at or below ``folders`` and write the result to ``output``.

    Args:
        metric: such as ``validation/loss``; None: see ``choose_metric``.
        baseline: the label of the row that the others are compared with; None: the best one.
        by: configuration keys that make a row; None: the cell. Keys in which the runs of a row
            would differ are added.
        output: a folder; None: see ``output_folder``.
        equivalence: a difference that makes none in practice, ``1%`` of the baseline or ``0.05``
            in the metric's unit.
        across_data: a row is of every data set, and rows are ranked over them.

    Raises:
        RunError: no finished run, none with the metric, a row that lacks a data set of those to be
            ranked over, or the output cannot be written.
        ConfigError: a metric, a baseline or a key that no run has, or no such difference.
    """
    margin = None if equivalence is None else Margin.of(equivalence)
    comparison = analyse(collect(folders, by, across_data), folders, metric, baseline, margin)
    return comparison, write(comparison, output or output_folder(folders))


def output_folder(folders: Sequence[Path]) -> Path:
    """``comparison`` in the one folder that is compared; of several, a folder of their own beside
    them, so that the comparison of one of them stays."""
    several = list({folder.resolve(): folder for folder in folders}.values())
    if len(several) == 1:
        return several[0] / FOLDER
    parent = Path(os.path.commonpath([folder.resolve() for folder in several]))
    places = [os.path.relpath(folder.resolve(), parent) for folder in several]
    names = [parent.name if place == "." else place.replace(os.sep, "_") for place in places]
    name = "-".join([FOLDER, *names])
    if len(name) > _LONGEST_NAME:
        name = f"{name[:_LONGEST_NAME]}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"
    here = Path.cwd().resolve()
    return (parent.relative_to(here) if parent.is_relative_to(here) else parent) / name


def analyse(
    runs: Runs,
    folders: Sequence[Path],
    metric: str | None = None,
    baseline: str | None = None,
    margin: Margin | None = None,
) -> Comparison:
    """The comparison as data; nothing is written.

    Raises:
        RunError: no run has a figure for the metric.
        ConfigError: a metric or a baseline that no run has.
    """
    metric, about = choose_metric(runs.runs, metric)
    other = counterpart(metric)
    groups, without = _with_metric(runs.groups, metric)
    if not groups:
        raise RunError(f"no finished run has a {metric}; choose another with --metric")
    sign = 1 if about.lower_is_better else -1
    rows = [Row.of(group, metric, other) for group in groups]
    ranking = rank_rows(rows, about) if any(run.data for run in runs.runs) else None
    if ranking is not None:
        rows = [replace(row, rank=ranking.of(row.label)) for row in rows]
    rows.sort(key=lambda row: (row.rank or 0.0, sign * row.value.mean, row.label))
    base = rows[0] if baseline is None else _find(rows, baseline)
    pairs = compare_pairs(rows, None if baseline is None else base, metric, about, margin)
    rows = _with_differences(rows, base, pairs, about)
    pruned = [run for run in runs.left_out if run.state == "pruned"]
    # By design a fair study gives up most trials, and they are not missed.
    of_searches = [run for run in runs.left_out if _is_a_fair_trial(run)]
    comparison = Comparison(
        folders=tuple(folders),
        metric=metric,
        about=about,
        other=other,
        keys=runs.keys,
        added=runs.added,
        columns=make_columns(rows, metric, about, other, runs.keys, base.label, margin),
        rows=tuple(rows),
        baseline=base.label,
        baseline_is_best=baseline is None,
        references=references([run for row in rows for run in row.runs], metric, other),
        left_out=(*(run for run in runs.left_out if run not in of_searches), *without),
        searches=_in_order_of(
            rows,
            find_searches(
                [*runs.runs, *runs.searched],
                [Run(run.folder, run.record) for run in pruned if run.record is not None],
            ),
        ),
        pairs=pairs,
        margin=margin,
        ranking=ranking,
        no_headline=why_no_headline(rows, metric, about),
    )
    return replace(comparison, notes=notes(comparison), answer=answer(comparison))


def write(comparison: Comparison, output: Path) -> Written:
    """Write the report as a page and as Markdown, the figures as CSV, JSON and LaTeX, the
    pictures, and what TensorBoard shows of them, each in one step.

    Raises:
        RunError: the folder cannot be written.
    """
    files = []
    for name, figure in pictures(comparison).items():
        with atomic_path(output / name) as path:
            figure.savefig(path, format="png", dpi=DPI)
        files.append(output / name)
    write_tensorboard(comparison, output, markdown(comparison), files)
    texts = {
        "comparison.md": markdown(comparison, [file.name for file in files]),
        "comparison.csv": to_csv(comparison),
        "comparison.tex": to_latex(comparison),
        "report.html": page(comparison),
    }
    for name, text in texts.items():
        with atomic_path(output / name) as path:
            path.write_text(text, encoding="utf-8")
        files.append(output / name)
    write_json(output / "comparison.json", to_json(comparison))
    files.append(output / "comparison.json")
    return Written(tuple(files), tuple(next_steps(comparison, files)))


def pictures(comparison: Comparison) -> "dict[str, Figure]":
    """The pictures of a comparison by the names of their files, those without data left out."""
    every: dict[str, Figure | None] = {
        "learning_curves.png": plots.learning_curves(comparison),
        "seeds.png": plots.seeds(comparison),
        "critical_difference.png": critical_difference(comparison.ranking),
        **key_plots(comparison),
        "tuning.png": tuning(comparison.searches),
        **search_figures(comparison.searches),
        **expected_best_plots(comparison.searches),
        **run_figures(comparison.rows),
    }
    return {name: figure for name, figure in every.items() if figure is not None}


def _with_metric(groups: Sequence[Group], metric: str) -> tuple[list[Group], list[LeftOut]]:
    """The groups without the runs that lack the metric, and those runs."""
    kept = []
    left_out = []
    for group in groups:
        runs = []
        for run in group.runs:
            if value_of(run.record, metric) is None:
                reason = f"its {metric} is missing or not a number"
                name = run.record.name
                left_out.append(
                    LeftOut(name, run.folder, "without the metric", reason, run.record)
                )
            else:
                runs.append(run)
        if runs:
            kept.append(replace(group, runs=tuple(runs)))
    return kept, left_out


def _in_order_of(rows: Sequence[Row], searches: Sequence[Search]) -> tuple[Search, ...]:
    """The searches in the order of the rows that they were for, whose colours they so have."""
    places = {row.label: place for place, row in enumerate(rows)}
    return tuple(sorted(searches, key=lambda search: places.get(search.name, len(rows))))


def _is_a_fair_trial(run: LeftOut) -> bool:
    """Whether a run that is not finished is a trial that a fair study stopped."""
    return (
        run.state in ("paused", "pruned")
        and run.record is not None
        and look_up(run.record, "config.trial.role") == SEARCH
    )


def _with_differences(
    rows: Sequence[Row], base: Row, pairs: Sequence[Pair], about: Metric
) -> list[Row]:
    """The rows, all but the baseline with their differences to it."""
    to_base = {pair.second: pair.difference for pair in pairs if pair.first == base.label}
    lower = about.lower_is_better
    return [
        row
        if row is base
        else replace(
            row,
            difference=(difference := to_base[row.label]),
            effects=effects(row.by_replicate, base.by_replicate, lower)
            if difference.seeds
            else None,
        )
        for row in rows
    ]


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
