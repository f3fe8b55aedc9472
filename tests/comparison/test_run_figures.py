"""Figures of records and of diagnostics, side by side by row."""

from collections.abc import Callable
from pathlib import Path

from unrolled.comparison.collect import collect
from unrolled.comparison.report import analyse
from unrolled.comparison.run_figures import run_figures
from unrolled.figures.style import colour
from unrolled.runs.diagnostics import write_diagnostics
from unrolled.runs.figures import Curve, to_plain
from unrolled.runs.record import find_runs


def flow(slope: float) -> Curve:
    ys = [slope**k for k in range(100)]
    return Curve([*map(float, range(100))], ys, "k", "norm", {}, logarithmic=True)


def test_a_line_for_each_cell_that_was_diagnosed(make_runs: Callable[..., Path]) -> None:
    make_runs("gru", [5.0, 5.1])
    make_runs("lstm", [5.5, 5.6])
    study = make_runs("rnn_tanh", [6.0, 6.1])
    for folder in find_runs(study):
        if not folder.name.startswith("lstm"):
            figure = to_plain(flow(0.9 if "gru" in folder.name else 0.5))
            write_diagnostics(folder, {"figures": {"gradient_flow": figure}, "numbers": {}})
    pictures = run_figures(analyse(collect([study]), [study]).rows)
    picture = pictures["diagnostics_gradient_flow.png"]
    assert picture is not None
    (panel,) = picture.axes
    assert panel.get_yscale() == "log"
    legend = panel.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["gru", "rnn_tanh"]
    # The third row keeps its colour where the second has no figure.
    colours = {line.get_label(): line.get_color() for line in panel.get_lines()}
    assert (colours["gru"], colours["rnn_tanh"]) == (colour(0), colour(2))
    picture.canvas.draw()


def test_a_file_that_cannot_be_read_is_passed_over(make_runs: Callable[..., Path]) -> None:
    study = make_runs("gru", [5.0, 5.1])
    one, other = find_runs(study)
    (one / "diagnostics.json").write_text("[1, 2")
    write_diagnostics(other, {"figures": {"gradient_flow": {"kind": "Cloud"}}})
    pictures = run_figures(analyse(collect([study]), [study]).rows)
    assert pictures["diagnostics_gradient_flow.png"] is None
