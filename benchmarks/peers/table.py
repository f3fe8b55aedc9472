"""The measurements as a table: in a terminal, or in Markdown."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.peers.parts import PARTS

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
SWEEP_HEADER = (
    "sweep of",
    "runs",
    "unrolled s",
    "script s",
    "times as fast",
    "unrolled MB",
    "script MB",
)
SWEEP_TEXTS = (0,)
PART_HEADER = (
    "a plain step of",
    "threads",
    "recurrence ms",
    "output ms",
    "update ms",
    "takes most",
    "fp32 GFLOP/s",
    "bf16 GFLOP/s",
)
PART_TEXTS = (0, 5)
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


def sweep_rows(sweeps: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    """A row for each sweep, as text."""
    for sweep in sweeps:
        ours, script = sweep["unrolled"], sweep["script"]
        yield (
            sweep["work"],
            str(sweep["runs"]),
            f"{ours['seconds']:,.1f}",
            f"{script['seconds']:,.1f}",
            f"{sweep['speed_ratio']:.2f}",
            f"{ours['peak_bytes'] / 1e6:,.0f}",
            f"{script['peak_bytes'] / 1e6:,.0f}",
        )


def part_rows(measurements: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    """A row for each measurement: what its parts take, and the machine's rates of products."""
    for one in measurements:
        seconds: dict[str, float] = one["parts"]
        most = max(seconds, key=lambda name: seconds[name])
        yield (
            one["work"],
            str(one["threads"]),
            *(f"{1000 * seconds[part]:.1f}" for part in PARTS),
            f"{most}, {seconds[most] / sum(seconds.values()):.0%}",
            *(f"{one['rates'][precision] / 1e9:,.0f}" for precision in ("fp32", "bf16")),
        )


def aligned(measurements: Sequence[Mapping[str, Any]]) -> str:
    """Runs, for a terminal."""
    return _aligned([HEADER, *rows(measurements)], TEXTS)


def markdown(measurements: Sequence[Mapping[str, Any]]) -> str:
    """Runs, for a page."""
    return _markdown([HEADER, *rows(measurements)], TEXTS)


def parts_aligned(measurements: Sequence[Mapping[str, Any]]) -> str:
    """Parts, for a terminal."""
    return _aligned([PART_HEADER, *part_rows(measurements)], PART_TEXTS)


def parts_markdown(measurements: Sequence[Mapping[str, Any]]) -> str:
    """Parts, for a page."""
    return _markdown([PART_HEADER, *part_rows(measurements)], PART_TEXTS)


def sweeps_aligned(sweeps: Sequence[Mapping[str, Any]]) -> str:
    """Sweeps, for a terminal."""
    return _aligned([SWEEP_HEADER, *sweep_rows(sweeps)], SWEEP_TEXTS)


def sweeps_markdown(sweeps: Sequence[Mapping[str, Any]]) -> str:
    """Sweeps, for a page."""
    return _markdown([SWEEP_HEADER, *sweep_rows(sweeps)], SWEEP_TEXTS)


def _aligned(lines: Sequence[Sequence[str]], texts: Sequence[int]) -> str:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in texts else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _markdown(lines: Sequence[Sequence[str]], texts: Sequence[int]) -> str:
    rule = ["---" if column in texts else "---:" for column in range(len(lines[0]))]
    return "\n".join(f"| {' | '.join(line)} |" for line in (lines[0], rule, *lines[1:]))


def _number(value: float | None, form: str) -> str:
    return ABSENT if value is None else format(value, form)
