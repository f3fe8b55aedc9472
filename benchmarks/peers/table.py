"""The measurements as a table: in a terminal, or in Markdown."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

HEADER = (
    "work",
    "threads",
    "contestant",
    "tokens/s",
    "/ script",
    "memory MB",
    "/ script",
    "start s",
    "to target s",
    "train loss",
    "perplexity",
    "of rate",
)
TEXTS = (0, 2)
ABSENT = "–"


def rows(measurements: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    """A row for each contestant of each measurement, as text."""
    for measurement in measurements:
        for name, one in measurement["contestants"].items():
            yield (
                measurement["work"],
                str(measurement["threads"]),
                name if one["precision"] == "fp32" else f"{name} ({one['precision']})",
                f"{one['tokens_per_second']:,.0f}",
                _number(one.get("speed_ratio"), ".2f"),
                f"{one['peak_bytes'] / 1e6:,.0f}",
                _number(one.get("memory_ratio"), ".2f"),
                _number(one["start_seconds"], ".1f"),
                _number(one["seconds_to_target"], ".1f"),
                f"{one['train_loss']:.3f}",
                f"{one['perplexity']:,.1f}",
                f"{one['rate_share']:.1%}",
            )


def aligned(measurements: Sequence[Mapping[str, Any]]) -> str:
    """For a terminal."""
    lines = [HEADER, *rows(measurements)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADER))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in TEXTS else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def markdown(measurements: Sequence[Mapping[str, Any]]) -> str:
    """For a page."""
    rule = ["---" if column in TEXTS else "---:" for column in range(len(HEADER))]
    lines = [HEADER, rule, *rows(measurements)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _number(value: float | None, form: str) -> str:
    return ABSENT if value is None else format(value, form)
