import io
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from unrolled.comparison import plots
from unrolled.comparison.collect import collect
from unrolled.comparison.report import analyse

Make = Callable[..., Path]


def figure_of(study: Path, metric: str | None = None) -> Figure | None:
    return plots.learning_curves(analyse(collect([study]), [study], metric))


def test_mean_curve_stops_with_the_shortest() -> None:
    long = ([1.0, 2.0, 3.0], [0.1, 0.2, 0.3], [5.0, 4.0, 3.0])
    short = ([1.0, 2.0], [0.3, 0.4], [7.0, 6.0])
    steps, seconds, values = plots.mean_curve([long, short])
    assert steps == [1.0, 2.0]
    assert seconds == pytest.approx([0.2, 0.3])
    assert values == [6.0, 5.0]


def test_two_labelled_panels_and_an_entry_a_group(make_runs: Make) -> None:
    make_runs("gru", [5.0, 5.1])
    figure = figure_of(make_runs("lstm", [6.0, 6.1]))
    assert figure is not None
    left, right = figure.axes
    assert (left.get_xlabel(), right.get_xlabel()) == ("training steps", "seconds of training")
    assert left.get_ylabel() == "validation perplexity"
    entries = [text.get_text().split()[0] for text in figure.legends[0].get_texts()]
    assert entries == ["gru", "lstm", "unigram"]


@pytest.mark.parametrize(("level", "drawn"), [(20.0, True), (200.0, False)])
def test_baselines_are_lines_or_said(make_runs: Make, level: float, drawn: bool) -> None:
    levels = {"validation/perplexity": level, "test/perplexity": level}
    baselines = {"unigram": levels, "bigram": {"validation/perplexity": level / 1.5}}
    figure = figure_of(make_runs("lstm", [6.0, 6.1], task={"baselines": baselines}))
    assert figure is not None
    said = "\n".join(text.get_text() for text in figure.axes[0].texts)
    named = "\n".join(text.get_text() for text in figure.legends[0].get_texts())
    for label in (f"unigram {level:.4g}", f"bigram {level / 1.5:.4g}"):
        assert (label in named.replace("  ", " ")) is drawn
        assert (f"{label}, above this range" in said) is not drawn
    dashed = [line for line in figure.axes[0].lines if line.get_linestyle() == "--"]
    assert len(dashed) == 2 * drawn


@pytest.mark.parametrize(
    ("metric", "sides"), [("perplexity", "right left"), ("accuracy", "left right")]
)
def test_far_levels_are_said_where_the_curves_are_not(
    make_runs: Make, metric: str, sides: str
) -> None:
    name = f"validation/{metric}"
    baselines = {"low": {name: 0.001}, "high": {name: 999.0}}
    history = [{"step": step, "seconds": step, name: 0.5} for step in (1, 2)]
    study = make_runs("lstm", [2.0, 2.1], task={"baselines": baselines}, history=history)
    figure = plots.learning_curves(analyse(collect([study]), [study], name))
    assert figure is not None
    above, below = figure.axes[0].texts
    assert above.get_text().startswith("↑ high 999")
    assert below.get_text().startswith("↓ low 0.001")
    assert f"{above.get_horizontalalignment()} {below.get_horizontalalignment()}" == sides


def test_a_baseline_is_a_line_among_the_seeds(make_runs: Make) -> None:
    study = make_runs("lstm", [20.0, 21.0])
    panel = plots.seeds(analyse(collect([study]), [study])).axes[0]
    assert isinstance(panel.figure, Figure)
    (legend,) = panel.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["unigram  21.5"]
    assert any(np.array_equal(line.get_xdata(), [21.5, 21.5]) for line in panel.lines)


def test_infinite_figures_are_drawn_as_far_as_they_are_finite(make_runs: Make) -> None:
    history = [
        {"step": step, "seconds": step, "validation/perplexity": value}
        for step, value in ((1, math.inf), (2, 9.0), (3, 8.0))
    ]
    make_runs("lstm", [6.0, math.inf, 6.1], history=history)
    infinite = {"validation/perplexity": math.inf, "test/perplexity": math.inf}
    every = [{**entry, **infinite} for entry in history]
    study = make_runs("irnn", [1.0, 1.0], metrics=infinite, history=every)
    comparison = analyse(collect([study]), [study])
    curves = plots.learning_curves(comparison)
    assert curves is not None
    panel = plots.seeds(comparison).axes[0]
    assert [text.get_text().strip() for text in panel.texts] == ["inf", "inf"]
    for figure in (curves, panel.figure):
        assert isinstance(figure, Figure)
        figure.savefig(io.BytesIO(), format="png")


def test_an_exploded_row_leaves_the_others_readable(make_runs: Make) -> None:
    make_runs("irnn", [1e9, 1e12])
    study = make_runs("lstm", [6.0, 6.1])
    panel = plots.seeds(analyse(collect([study]), [study])).axes[0]
    assert panel.get_xscale() == "log"


def test_names_are_drawn_as_they_stand(make_run: Make, tmp_path: Path) -> None:
    for seed in (1, 2):
        make_run("a$b$c_{\x1b", seed, folder=f"{seed}")
    comparison = analyse(collect([tmp_path]), [tmp_path])
    for figure in (plots.seeds(comparison), plots.learning_curves(comparison)):
        assert figure is not None
        figure.savefig(io.BytesIO(), format="png")
    label = plots.seeds(comparison).axes[0].get_yticklabels()[0].get_text()
    assert label == r"a\$b\$c_{\x1b"


@pytest.mark.parametrize(("worst", "scale"), [(9.0, "linear"), (90.0, "log")])
def test_log_axis_where_values_span_much(make_runs: Make, worst: float, scale: str) -> None:
    history = [
        {"step": step, "seconds": step, "validation/perplexity": value}
        for step, value in ((1, worst), (2, 6.0))
    ]
    figure = figure_of(make_runs("lstm", [6.0, 6.1], history=history))
    assert figure is not None
    assert figure.axes[0].get_yscale() == scale


def test_no_history_no_picture(make_runs: Make) -> None:
    study = make_runs("lstm", [6.0, 6.1], history=[])
    assert figure_of(study) is None


def test_more_groups_than_colours(make_run: Make, tmp_path: Path) -> None:
    for index in range(45):
        make_run(f"cell{index}", 1, 5.0 + index, history=[{"step": 1, "seconds": 1}])
    comparison = analyse(collect([tmp_path]), [tmp_path])
    assert plots.learning_curves(comparison) is None
    panel = plots.seeds(comparison).axes[0]
    assert len(panel.get_yticklabels()) == 40
    assert "best 40 rows" in panel.get_xlabel()
