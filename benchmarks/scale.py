"""How cost grows: a run against vocabulary, length, width, batch, corpus; a sweep against runs.

    python -m benchmarks.scale [--axes vocabulary,width] [--threads 1] [--repeats 3] [--quick]
        [--output benchmarks/results/scale.json]

One setting is varied at a time about a base, an LSTM over words; each measurement is a run of
``unrolled train`` in a process of its own, the values of an axis in turn, round after round. The
text is random words by Zipf's law, so that its size and its vocabulary can be chosen: what is
learned from it says nothing. "growth" is the exponent k of cost ~ value^k between two neighbouring
values: 1 is in proportion, 0 is free.
"""

import argparse
import math
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from benchmarks.peers.contest import CONTESTANTS, train
from benchmarks.peers.job import Job
from benchmarks.peers.sweep import by_unrolled

from unrolled.figures.style import COLOURS, DPI, new_figure, tidy
from unrolled.runs.files import write_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OUTPUT = Path("benchmarks/results/scale.json")
WORDS_A_LINE = 20
# Words of the validation and the test text: all axes but the corpus's are about training.
EVALUATED = 2_000


@dataclass(frozen=True)
class Setting:
    """What is varied; ``corpus`` is words of training text, ``runs`` those of a sweep."""

    vocabulary: int = 10_000
    length: int = 32
    width: int = 200
    batch: int = 16
    corpus: int = 200_000
    runs: int = 1
    steps: int = 40


# The values of each axis, and which figure of a row is its cost.
AXES: dict[str, tuple[tuple[int, ...], str]] = {
    "vocabulary": ((1_000, 3_000, 10_000, 30_000, 100_000), "seconds_per_token"),
    "length": ((16, 64, 256), "seconds_per_token"),
    "width": ((64, 128, 256, 512, 1_024), "seconds_per_token"),
    "batch": ((1, 4, 16, 64), "seconds_per_token"),
    "corpus": ((100_000, 1_000_000, 10_000_000), "start_seconds"),
    "runs": ((1, 2, 4, 8), "total_seconds"),
}
QUICK = Setting(vocabulary=50, length=4, width=8, batch=2, corpus=3_000, steps=6)
QUICK_AXES = {"vocabulary": (20, 50), "runs": (1, 2)}


def write_text(folder: Path, setting: Setting) -> None:
    """Random words by Zipf's law, each word of the vocabulary at least once in training."""
    draw = np.random.default_rng(0)
    # <unk> and <eos> are two of the vocabulary.
    kinds = setting.vocabulary - 2
    weights = 1 / np.arange(1, kinds + 1)
    weights /= weights.sum()
    folder.mkdir(parents=True, exist_ok=True)
    for name, count in (("train", setting.corpus), ("valid", EVALUATED), ("test", EVALUATED)):
        words = draw.choice(kinds, size=max(count, kinds if name == "train" else 0), p=weights)
        if name == "train":
            words[:kinds] = np.arange(kinds)
        with (folder / f"{name}.txt").open("w", encoding="utf-8") as file:
            for start in range(0, len(words), WORDS_A_LINE):
                line = words[start : start + WORDS_A_LINE]
                file.write(" ".join(f"w{word}" for word in line) + "\n")


def job_of(setting: Setting, text: Path, seed: int) -> Job:
    """An LSTM of the setting's sizes."""
    return Job(
        folder=str(text),
        unit="word",
        cell="lstm",
        embedding=setting.width,
        hidden=setting.width,
        layers=1,
        batch=setting.batch,
        length=setting.length,
        optimizer="sgd",
        lr=1.0,
        clip=0.25,
        steps=setting.steps,
        validate_every=setting.steps // 2,
        seed=seed,
    )


def measure(setting: Setting, threads: int) -> dict[str, Any]:
    """The figures of one setting, with nothing cached."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_text(folder / "text", setting)
        if setting.runs == 1:
            job = job_of(setting, folder / "text", 1)
            found = train(CONTESTANTS["unrolled"], job, threads, folder / "cache")
            kept = ("tokens_per_second", "start_seconds", "total_seconds", "peak_bytes")
            return {
                **{name: found[name] for name in kept},
                "seconds_per_token": 1 / found["tokens_per_second"],
            }
        outputs = folder / "outputs"
        outputs.mkdir()
        (seen,) = by_unrolled(
            lambda seed: job_of(setting, folder / "text", seed),
            setting.runs,
            outputs,
            folder / "cache",
        )
        return {"total_seconds": seen.seconds, "peak_bytes": seen.peak_bytes}


def measure_axis(
    axis: str, values: Sequence[int], base: Setting, options: argparse.Namespace
) -> list[dict[str, Any]]:
    """A row for each value: medians over rounds, and how the cost grew since the value before."""
    seen: dict[int, list[dict[str, Any]]] = {value: [] for value in values}
    for _ in range(options.repeats):
        for value in values:
            seen[value].append(measure(replace(base, **{axis: value}), options.threads))
    cost = AXES[axis][1]
    rows: list[dict[str, Any]] = []
    for value, found in seen.items():
        medians = {name: statistics.median(one[name] for one in found) for name in found[0]}
        row: dict[str, Any] = {"axis": axis, "value": value, "cost": cost, **medians}
        row["growth"] = growth(rows[-1], row) if rows else None
        rows.append(row)
    return rows


def growth(before: dict[str, Any], after: dict[str, Any]) -> float:
    """The exponent k of cost ~ value^k between two rows."""
    cost = after["cost"]
    return math.log(after[cost] / before[cost]) / math.log(after["value"] / before["value"])


def print_rows(rows: Sequence[dict[str, Any]]) -> None:
    """One axis as a table."""
    print(f"\n{rows[0]['axis']:<12}  tokens/s  start s  total s  memory MB  growth of")
    print(f"{'':<12}{'':45}{rows[0]['cost']}")
    for row in rows:
        speed, start = row.get("tokens_per_second"), row.get("start_seconds")
        print(
            f"{row['value']:>12,}  {'–' if speed is None else f'{speed:,.0f}':>8}  "
            f"{'–' if start is None else f'{start:.1f}':>7}  {row['total_seconds']:>7.1f}  "
            f"{row['peak_bytes'] / 1e6:>9,.0f}  "
            f"{'' if row['growth'] is None else format(row['growth'], '.2f')}",
            flush=True,
        )


def draw(rows: Sequence[dict[str, Any]]) -> "Figure":
    """A panel an axis: cost and memory, each as a multiple of what the axis's first value has."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axes = list(dict.fromkeys(row["axis"] for row in rows))
    columns = min(3, len(axes))
    lines = -(-len(axes) // columns)
    figure = new_figure(3.4 * columns, 2.8 * lines)
    panels = figure.subplots(lines, columns, squeeze=False).flatten()
    for panel, axis in zip(panels, axes, strict=False):
        own = [row for row in rows if row["axis"] == axis]
        values = [row["value"] for row in own]
        names = {own[0]["cost"]: own[0]["cost"].replace("_", " "), "peak_bytes": "memory"}
        for (name, label), hue in zip(names.items(), COLOURS, strict=False):
            relative = [row[name] / own[0][name] for row in own]
            panel.plot(values, relative, "o-", color=hue, label=label)
        panel.set(xscale="log", yscale="log")
        panel.set_xticks(values, [f"{value:,}" for value in values], fontsize=8)
        panel.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5)))
        panel.yaxis.set_major_formatter(lambda times, _: f"{times:g} x")
        for side in (panel.xaxis, panel.yaxis):
            side.set_minor_formatter(NullFormatter())
        panel.set_title(axis, fontsize=10)
        panel.legend(frameon=False, fontsize=8)
        tidy(panel)
    for panel in panels[len(axes) :]:
        panel.set_axis_off()
    return figure


def options_of(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.scale", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("--axes", type=lambda text: text.split(","), help=f"{','.join(AXES)} (all)")
    add("--threads", type=int, default=1, help="of a single run (1); a sweep chooses its own")
    add("--repeats", type=int, default=3, help="rounds (3)")
    add("--quick", action="store_true", help="tiny sizes, to see that all works")
    add("--output", type=Path, default=OUTPUT, help=str(OUTPUT))
    options = parser.parse_args(arguments)
    options.axes = options.axes or list(QUICK_AXES if options.quick else AXES)
    if unknown := set(options.axes) - set(QUICK_AXES if options.quick else AXES):
        parser.error(f"--axes {','.join(sorted(unknown))}: choose from {','.join(AXES)}")
    for name in ("threads", "repeats"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} {getattr(options, name)}: at least 1")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    options = options_of(arguments)
    from unrolled.training.environment import describe_environment

    base = QUICK if options.quick else Setting()
    rows: list[dict[str, Any]] = []
    for axis in options.axes:
        values = QUICK_AXES[axis] if options.quick else AXES[axis][0]
        found = measure_axis(axis, values, base, options)
        print_rows(found)
        rows += found
    options.output.parent.mkdir(parents=True, exist_ok=True)
    about = {
        "environment": describe_environment(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "threads": options.threads,
        "repeats": options.repeats,
        "base": vars(base),
    }
    write_json(options.output, {**about, "rows": rows})
    draw(rows).savefig(options.output.with_suffix(".png"), dpi=DPI)
    print(f"wrote {options.output}")


if __name__ == "__main__":
    main()
