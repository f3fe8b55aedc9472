from collections.abc import Callable
from pathlib import Path

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
    assert entries == ["gru", "lstm"]


@pytest.mark.parametrize(("unigram", "drawn"), [(20.0, True), (200.0, False)])
def test_chance_is_a_line_or_said(make_runs: Make, unigram: float, drawn: bool) -> None:
    data = {"name": "a", "fingerprint": "1", "unigram_perplexity": {"validation": unigram}}
    figure = figure_of(make_runs("lstm", [6.0, 6.1], data=data))
    assert figure is not None
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert any(f"unigram {unigram:g}" in text for text in texts)
    assert any("range" in text for text in texts) is not drawn


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
