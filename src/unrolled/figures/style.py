"""What all pictures have in common: colours, fonts, axes, scales.

Figures are made without pyplot, so no global state is left behind and no display is needed.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from unrolled.runs.text import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 150
# Okabe & Ito's palette, distinguishable with any colour vision, without its yellow (too pale on
# white).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
OTHERS = "#B8B8B8"
INK = "#333333"


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure of this many inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def tidy(panel: "Axes") -> None:
    """A grid behind the data, and no frame."""
    panel.spines[["top", "right"]].set_visible(False)
    panel.spines[["left", "bottom"]].set_color("#999999")
    panel.tick_params(colors=INK, length=3)
    panel.grid(color="#E6E6E6", lw=0.7)
    panel.set_axisbelow(True)


def colour(rank: int) -> str:
    """The colour of a row by its place; grey where there are more rows than colours."""
    return COLOURS[rank] if rank < len(COLOURS) else OTHERS


def literal(text: str) -> str:
    """Text of a record that matplotlib takes as it stands, dollar signs included."""
    return one_line(text).replace("$", r"\$")


def set_scale(
    panel: "Axes", which: Literal["x", "y"], values: Sequence[float], log_from: float
) -> None:
    """A logarithmic axis, with labels a person reads, where the largest of the values is more than
    ``log_from`` times the smallest."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = min(values, default=0.0), max(values, default=0.0)
    if low <= 0 or high <= log_from * low:
        return
    panel.set(**{f"{which}scale": "log"})
    axis = panel.xaxis if which == "x" else panel.yaxis
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
    if high / low < 1000:
        dense = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0) if high / low < 30 else (1.0, 2.0, 5.0)
        axis.set_major_locator(LogLocator(subs=dense))
