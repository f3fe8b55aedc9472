"""The measurements as a picture: speed against the script's, a row a work."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from unrolled.figures.style import INK, colour, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROW, MARGIN = 0.32, 1.4


def draw(measurements: Sequence[Mapping[str, Any]]) -> "Figure":
    """A dot for each contestant's ratio; the bar is from the lowest to the highest round."""
    from benchmarks.peers.contest import CONTESTANTS, PLAIN
    from benchmarks.peers.results import machine_of
    from matplotlib.lines import Line2D
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    figure = new_figure(8.0, MARGIN + ROW * max(1, len(measurements)))
    panel = figure.subplots()
    panel.axvline(1.0, color=INK, lw=1.0)
    others = [name for name in CONTESTANTS if name != PLAIN]
    shown = []
    for place, measurement in enumerate(measurements):
        contestants = measurement["contestants"]
        for rank, name in enumerate(others):
            one = contestants.get(name)
            if one is None or "speed_ratio" not in one:
                continue
            shown.append(name)
            pairs = zip(one["trainings"], contestants[PLAIN]["trainings"], strict=True)
            ratios = [own["tokens_per_second"] / its["tokens_per_second"] for own, its in pairs]
            panel.plot(
                [min(ratios), max(ratios)], [place] * 2, color=colour(rank), lw=4, alpha=0.3
            )
            panel.plot(one["speed_ratio"], place, "o", color=colour(rank), ms=6)
    several = len({machine_of(one) for one in measurements}) > 1
    names = [
        f"{one['work']}, {one['threads']} thr." + (f"\n{machine_of(one)}" if several else "")
        for one in measurements
    ]
    panel.set_yticks(range(len(names)), names, fontsize=8)
    panel.set_ylim(len(names) - 0.4, -0.6)
    panel.set_xscale("log")
    panel.xaxis.set_major_locator(LogLocator(subs=(1.0, 1.2, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)))
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.set_xlabel("tokens per second, plain PyTorch script = 1", fontsize=9)
    tidy(panel)
    handles = [
        Line2D([], [], color=colour(rank), marker="o", ls="", label=name)
        for rank, name in enumerate(others)
        if name in shown
    ]
    if handles:
        figure.legend(
            handles=handles, loc="outside upper left", ncols=4, frameon=False, fontsize=9
        )
    return figure
