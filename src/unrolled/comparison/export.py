"""A comparison as Markdown, CSV and JSON; all show the same columns."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from unrolled.comparison.grouping import Run
from unrolled.comparison.references import Reference
from unrolled.comparison.results import Comparison
from unrolled.comparison.rows import Row
from unrolled.comparison.statistics import Difference, Estimate
from unrolled.runs.text import one_line

SCHEMA_VERSION = 1
# Without cross-validation there is nothing to say of folds, nor of a margin if none was asked for.
_WHERE_KNOWN = ("folds", "overlap", "within")
# Of more pairs the sentences are in the JSON file alone.
_MOST_PAIRS = 45


def markdown(comparison: Comparison, pictures: Sequence[str] = ()) -> str:
    """The answer, the table, the notes, and the pictures of these names below."""
    names = ", ".join(folder.name or str(folder) for folder in comparison.folders)
    columns = comparison.columns
    parts = [
        f"# {_escaped(f'Comparison of {names} by {comparison.metric}')}",
        "",
        _escaped(comparison.answer),
        "",
        _markdown_line([column.heading for column in columns]),
        f"| {' | '.join('---' if column.is_text else '---:' for column in columns)} |",
        *(
            _markdown_line([" ".join(column.cell(row)) for column in columns])
            for row in comparison.lines
        ),
        "",
        *(
            f"- {_bold(_escaped(n.text)) if n.loud else _escaped(n.text)}"
            for n in comparison.notes
        ),
    ]
    if comparison.ranking is not None:
        parts += ["", "## Ranks over data sets", ""]
        parts += [f"- {_escaped(pair.sentence)}" for pair in comparison.ranking.pairs]
    if 0 < len(comparison.pairs) <= _MOST_PAIRS:
        parts += ["", "## Pair by pair", ""]
        parts += [f"- {_escaped(pair.sentence)}" for pair in comparison.pairs]
    for name in pictures:
        alternative = name.removesuffix(".png").replace("_", " ")
        parts.extend(["", f"![{alternative}]({name})"])
    return "\n".join(parts) + "\n"


def to_csv(comparison: Comparison) -> str:
    """The rows and what they are read against, a line each, with every digit."""
    lines = to_rows(comparison)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows({k: _word(v) for k, v in line.items()} for line in lines)
    return text.getvalue()


def to_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """The rows and what they are read against as plain values, None where one has none; the first
    has every column."""
    return [dict(_cells(comparison, row)) for row in comparison.lines]


def to_json(comparison: Comparison) -> dict[str, Any]:
    """Every number of the comparison, from single runs to verdicts, as plain containers."""
    metric, other = comparison.metric, comparison.other
    levels: dict[str, list[dict[str, Any]]] = {"baseline": [], "published": []}
    for level in comparison.references:
        figures = {metric: level.value, other: level.other}
        levels[level.kind].append({"label": level.label, **figures})
    return {
        "schema_version": SCHEMA_VERSION,
        "folders": [str(folder) for folder in comparison.folders],
        "metric": metric,
        "better": "lower" if comparison.about.lower_is_better else "higher",
        "other_metric": other,
        "baseline": comparison.baseline,
        "keys": list(comparison.keys),
        "groups": [
            {
                "values": dict(row.values),
                **{column.name: _plain(column.value(row)) for column in comparison.columns},
                "runs": [_run_to_json(run) for run in row.runs],
            }
            for row in comparison.rows
        ],
        "chance": levels["baseline"],
        "published": levels["published"],
        "answer": comparison.answer,
        "pairs": [
            {
                "first": pair.first,
                "second": pair.second,
                "difference": _plain(pair.difference),
                "sentence": pair.sentence,
            }
            for pair in comparison.pairs
        ],
        **({} if comparison.ranking is None else {"ranking": asdict(comparison.ranking)}),
        "notes": [note.text for note in comparison.notes],
        "left_out": [
            {"name": run.name, "folder": str(run.folder), "state": run.state, "reason": run.reason}
            for run in comparison.left_out
        ],
    }


def _cells(comparison: Comparison, row: Row | Reference) -> Iterator[tuple[str, Any]]:
    for column in comparison.columns:
        if isinstance(row, Row):
            value = column.value(row)
        else:
            value = None if column.reference is None else column.reference(row)
        yield column.name, getattr(value, "mean", value)
        # What is a figure with its interval takes a few columns, where it is missing as well.
        parts = {
            comparison.metric: ("low", "high"),
            comparison.other: ("low", "high"),
            "difference": (
                *("low", "high", "confidence", "p", "p_corrected"),
                *("smallest_shown", "seeds_needed"),
            ),
        }
        for part in parts.get(column.name, ()):
            yield f"{column.name}_{part}", getattr(value, part, None)
        if column is comparison.columns[0]:
            values = row.values if isinstance(row, Row) else {}
            yield from ((key, values.get(key)) for key in comparison.keys)


def _word(value: Any) -> Any:
    if isinstance(value, list):
        return " ".join(map(str, value))
    return one_line(value) if isinstance(value, str) else "" if value is None else value


def _plain(value: Any) -> Any:
    if not isinstance(value, Estimate | Difference):
        return value
    return {k: v for k, v in asdict(value).items() if k not in _WHERE_KNOWN or v is not None}


def _run_to_json(run: Run) -> dict[str, Any]:
    record = run.record
    return {
        "name": record.name,
        "folder": str(run.folder),
        "identity": record.identity,
        "seed": record.seed,
        **({} if run.replicate.fold is None else {"fold": run.replicate.fold}),
        "best_step": record.best.get("step"),
        "metrics": record.metrics,
        "parameters": record.model.get("parameters"),
        "flops_per_token": record.model.get("flops_per_token"),
        "state_size": record.model.get("state_size"),
        "seconds": record.timing.get("seconds"),
        "tokens_per_second": record.timing.get("tokens_per_second"),
    }


def _markdown_line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(_escaped(cell) for cell in cells)} |"


def _bold(text: str) -> str:
    return f"**{text}**"


def _escaped(text: str) -> str:
    """Text that Markdown takes literally where names often surprise it."""
    text = one_line(text)
    for mark in "\\|*_<`":
        text = text.replace(mark, f"\\{mark}")
    return text.replace("](", "]\\(")
