"""What a cell costs: each cell by each backend against the native LSTM of the same width.

    python -m benchmarks.cells [--cells lstm,gru] [--backends auto,eager] [--sizes 256]
        [--lengths 64,1024] [--batch 32] [--repeats 9] [--threads 1] [--device cuda] [--memory]

One layer is run forwards and backwards, from the gradient of its outputs to those of its input and
its parameters; it is as wide as its input. After a warm-up the contestants of one width and length
take turns in rounds, in an order drawn anew for each round. A ratio is the median over rounds of
a contestant's time to that of torch.nn.LSTM in the same round; "per FLOP" divides it by the ratio
of floating-point operations a token. Half precision is autocast over float32 parameters, as in
training. The peers in torch.nn, a loop over torch.nn.LSTMCell and an LSTM as a user writes it
always take part. On a GPU a measurement ends when the device is done.

With --memory the same passes are measured in bytes, and not in seconds: see benchmarks/memory.py.
"""

import argparse
import json
import math
import random
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from benchmarks.contestants import (
    PEER,
    REFERENCE,
    USER,
    Contestant,
    OwnLSTM,
    Setting,
    entries,
    makers,
    peers,
)
from benchmarks.memory import memory_rows, print_memory
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from unrolled.config.locations import config_directory
from unrolled.figures.style import COLOURS, DPI
from unrolled.recurrence.backends import BACKENDS
from unrolled.training.environment import describe_environment

FEWEST_REPEATS = 9
# Seconds of a block of calls: a clock and a GPU's queue need some.
BLOCK = 0.01
# What the project wants of a cell at most, per floating-point operation.
TARGET = 2.0
INK = "#333333"
COLOUR = dict(zip((PEER, *BACKENDS[1:]), COLOURS, strict=False))


def seconds_of(
    contestants: Sequence[Contestant], size: int, length: int, repeats: int, setting: Setting
) -> list[list[float]]:
    """Seconds of one pass of each contestant in each round."""
    draw = random.Random(0)
    works = [setting.work(one.module, size, length) for one in contestants]
    calls = [_calls(work, setting) for work in works]
    seconds: list[list[float]] = [[] for _ in works]
    for _ in range(repeats):
        for index in draw.sample(range(len(works)), len(works)):
            seconds[index].append(_block(works[index], calls[index], setting))
    return seconds


def _calls(work: Callable[[], None], setting: Setting) -> int:
    """How many calls make a block; this warms up, too."""
    _block(work, 2, setting)
    return math.ceil(BLOCK / _block(work, 1, setting))


def _block(work: Callable[[], None], calls: int, setting: Setting) -> float:
    """Seconds of a call, over so many."""
    setting.finish()
    started = time.perf_counter()
    for _ in range(calls):
        work()
    setting.finish()
    return (time.perf_counter() - started) / calls


def results(
    contestants: Sequence[Contestant], seconds: list[list[float]], size: int, length: int
) -> list[dict[str, Any]]:
    """A row of figures for each contestant."""
    reference = next(i for i, one in enumerate(contestants) if one.cell == REFERENCE)
    rows = []
    for one, own in zip(contestants, seconds, strict=True):
        pairs = [mine / theirs for mine, theirs in zip(own, seconds[reference], strict=True)]
        share = one.flops / contestants[reference].flops
        rows.append(
            {
                "size": size,
                "length": length,
                "cell": one.cell,
                "backend": one.backend,
                "auto": one.auto,
                "flops_per_token": one.flops,
                "flops_ratio": share,
                "milliseconds": 1000 * statistics.median(own),
                "time_ratio": statistics.median(pairs),
                "time_ratio_lowest": min(pairs),
                "time_ratio_highest": max(pairs),
                "ratio_per_flop": statistics.median(pairs) / share,
                "seconds": own,
            }
        )
    return rows


def print_times(rows: Sequence[dict[str, Any]]) -> None:
    """The table of one width and length."""
    print(f"\nwidth {rows[0]['size']}, length {rows[0]['length']}; * is what auto chooses")
    print("cell              backend         ms   FLOPs    time   lowest to highest   per FLOP")
    for row in rows:
        spread = f"{row['time_ratio_lowest']:.2f} to {row['time_ratio_highest']:.2f}"
        above = f"  above {TARGET:g}" if row["ratio_per_flop"] > TARGET else ""
        print(
            f"{row['cell']:<17} {row['backend'] + '*' * row['auto']:<10} "
            f"{row['milliseconds']:>7.2f} {row['flops_ratio']:>7.3f} {row['time_ratio']:>7.2f} "
            f"{spread:>19} {row['ratio_per_flop']:>10.2f}{above}"
        )


def draw(rows: Sequence[dict[str, Any]], title: str) -> Figure:
    """Time per floating-point operation: a panel for a width and length, a line for a cell."""
    settings = list(dict.fromkeys((row["size"], row["length"]) for row in rows))
    first = [row for row in rows if (row["size"], row["length"]) == settings[0]]
    fastest: dict[str, float] = {}
    for row in first:
        fastest[row["cell"]] = min(row["ratio_per_flop"], fastest.get(row["cell"], math.inf))
    cells = sorted(fastest, key=lambda name: fastest[name])
    figure = Figure(
        figsize=(2.6 + 4.4 * len(settings), 1.7 + 0.25 * len(cells)),
        layout="constrained",
        facecolor="white",
    )
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(settings), sharex=True, sharey=True, squeeze=False)[0]
    for panel, (size, length) in zip(panels, settings, strict=True):
        panel.set_title(f"width {size}, length {length}", fontsize=10)
        here = [row for row in rows if (row["size"], row["length"]) == (size, length)]
        draw_panel(panel, here, cells)
    panels[0].set_yticks(range(len(cells)), cells)
    panels[0].set_ylim(len(cells) - 0.4, -0.6)
    figure.supxlabel("time per floating-point operation, nn.LSTM = 1", fontsize=10)
    used = [way for way in COLOUR if any(row["backend"] == way for row in rows)]
    handles = [Line2D([], [], color=COLOUR[w], marker="o", ls="", label=w) for w in used]
    handles.append(Line2D([], [], color=INK, marker="o", ls="", mfc="white", label="not auto"))
    handles.append(Line2D([], [], color=INK, lw=4, alpha=0.3, label="lowest to highest"))
    handles.append(Line2D([], [], color=INK, lw=1.2, label=f"target {TARGET:g}"))
    figure.legend(
        handles=handles,
        loc="outside upper left",
        ncols=4 if len(settings) == 1 else len(handles),
        frameon=False,
        title=title,
        alignment="left",
        fontsize=9,
        title_fontsize=9,
    )
    return figure


def draw_panel(panel: Axes, rows: Sequence[dict[str, Any]], cells: Sequence[str]) -> None:
    """One width and length; what ``auto`` does not choose is hollow."""
    panel.axvline(1.0, color="#999999", lw=1.0, ls=(0, (4, 3)), zorder=1)
    panel.axvline(TARGET, color=INK, lw=1.2, zorder=1)
    for row in rows:
        place, colour = cells.index(row["cell"]), COLOUR[row["backend"]]
        ends = [row[f"time_ratio_{end}"] / row["flops_ratio"] for end in ("lowest", "highest")]
        panel.plot(ends, [place] * 2, color=colour, lw=4, alpha=0.3, solid_capstyle="butt")
        face = colour if row["auto"] or row["backend"] == PEER else "white"
        panel.plot(row["ratio_per_flop"], place, "o", color=colour, mfc=face, ms=6, zorder=3)
    panel.set_xscale("log")
    low, high = panel.get_xlim()
    dense = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0) if high / low < 30 else (1.0, 2.0, 5.0)
    panel.xaxis.set_major_locator(LogLocator(subs=dense))
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.grid(color="#E6E6E6", lw=0.7)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)


def numbers(text: str) -> list[int]:
    """``64,1024`` as numbers."""
    found = [int(part) for part in text.split(",")]
    if min(found) < 1:
        raise argparse.ArgumentTypeError(f"{text}: sizes and lengths are at least 1")
    return found


def names(text: str) -> list[str]:
    """``lstm,gru`` as names."""
    return text.split(",")


def options_of(arguments: Sequence[str] | None) -> argparse.Namespace:
    every = sorted(path.stem for path in (config_directory() / "cell").glob("*.yaml"))
    every.remove("custom")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    add = parser.add_argument
    add("--cells", type=names, default=every, help="of conf/cell (all)")
    add("--backends", type=names, help="auto,eager; all for every one that can (compiles)")
    add("--sizes", type=numbers, default=[256], help="widths (256)")
    add("--lengths", type=numbers, help="steps of time (64; with --memory 64,256,1024)")
    add("--batch", type=int, default=32, help="sequences (32)")
    add("--repeats", type=int, default=FEWEST_REPEATS, help="rounds (9, and no fewer)")
    add("--threads", type=int, default=1, help="of PyTorch on the CPU (1)")
    add("--device", choices=("cpu", "cuda"), default=device, help="cuda where there is one")
    add("--dtype", choices=("float32", "float64", "bfloat16", "float16"), default="float32")
    add("--memory", action="store_true", help="measure memory, and not time")
    add("--out", type=Path, default=Path("outputs/benchmarks"), help="outputs/benchmarks")
    options = parser.parse_args(arguments)
    options.backends = options.backends or (["auto"] if options.memory else ["auto", "eager"])
    options.lengths = options.lengths or ([64, 256, 1024] if options.memory else [64])
    if options.repeats < FEWEST_REPEATS:
        parser.error(f"--repeats {options.repeats}: a median needs at least {FEWEST_REPEATS}")
    if unknown := set(options.cells) - set(every):
        parser.error(f"--cells {','.join(sorted(unknown))}: choose from {','.join(every)}")
    if unknown := set(options.backends) - {"all", *BACKENDS}:
        parser.error(f"--backends {','.join(unknown)}: choose from all,{','.join(BACKENDS)}")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    options = options_of(arguments)
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    setting = Setting(torch.device(options.device), getattr(torch, options.dtype), options.batch)
    environment = describe_environment()
    where = environment["gpu"] if options.device == "cuda" else environment["cpu"]
    title = (
        f"{where}, threads: {options.threads}, PyTorch {torch.__version__}, {options.dtype}, "
        f"batch {options.batch}"
    )
    print(title)
    make = makers(options.cells)
    rows: list[dict[str, Any]] = []
    for size in options.sizes:
        if options.memory:
            found = memory_rows(make, size, options.lengths, options.backends, setting)
            rows += print_memory(found)
            continue
        contestants = [
            *peers(size, setting),
            *entries({USER: OwnLSTM, **make}, size, options.backends, setting),
        ]
        for length in options.lengths:
            seconds = seconds_of(contestants, size, length, options.repeats, setting)
            rows += results(contestants, seconds, size, length)
            print_times(rows[-len(contestants) :])
    options.out.mkdir(parents=True, exist_ok=True)
    kind = "memory" if options.memory else "cells"
    record = {
        "environment": {
            **environment,
            "device": options.device,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
        },
        "settings": {name: value for name, value in vars(options).items() if name != "out"},
        kind: rows,
    }
    path = options.out / f"{kind}.json"
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"\nwrote {path}")
    if not options.memory:
        draw(rows, title).savefig(path.with_suffix(".png"), dpi=DPI)
        print(f"wrote {path.with_suffix('.png')}")


if __name__ == "__main__":
    main()
