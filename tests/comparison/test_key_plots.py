"""The picture of a metric against the one number that rows differ in."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unrolled.comparison.collect import collect
from unrolled.comparison.key_plots import key_plots
from unrolled.comparison.report import analyse, compare

Make = Callable[..., Path]


@pytest.fixture
def swept(make_run: Make, tmp_path: Path) -> Callable[..., Path]:
    """Two cells at each value of a key, two seeds each, with the data that belongs to it."""

    def make(key: str, values: list[Any], scores: dict[str, list[float]]) -> Path:
        for place, value in enumerate(values):
            for cell, perplexities in scores.items():
                for seed in (1, 2):
                    level = {f"{s}/perplexity": 30.0 + place for s in ("validation", "test")}
                    make_run(
                        cell,
                        seed,
                        perplexities[place] + seed,
                        {key: value},
                        folder=f"{cell}{place}{seed}",
                        data={"name": f"d{place}", "fingerprint": f"{place}" * 9},
                        task={"baselines": {"chance": level}},
                    )
        return tmp_path / "study"

    return make


def pictures(study: Path, metric: str | None = None) -> dict[str, Figure | None]:
    return key_plots(analyse(collect([study]), [study], metric))


def line(panel: Axes, label: str) -> tuple[list[float], list[float]]:
    (found,) = [one for one in panel.lines if one.get_label() == label]
    return np.asarray(found.get_xdata()).tolist(), np.asarray(found.get_ydata()).tolist()


SCORES = {"lstm": [5.0, 6.0, 20.0], "gru": [5.0, 9.0, 25.0]}


def test_a_line_a_cell_and_the_baseline_of_each_value(swept: Make) -> None:
    (name, figure), *others = pictures(swept("task.delay", [100, 10, 1000], SCORES)).items()
    assert not others
    assert name == "by_delay.png"
    assert figure is not None
    left, right = figure.axes
    assert (left.get_xlabel(), left.get_ylabel()) == ("delay", "test perplexity")
    assert (left.get_xscale(), left.get_yscale()) == ("log", "linear")
    assert right.get_ylabel() == "test loss"
    # The test split's figures are 1.02 times those asked for; 1.5 is the seeds' mean.
    for cell, (first, second, third) in SCORES.items():
        xs, ys = line(left, cell)
        assert xs == [10, 100, 1000]
        assert ys == pytest.approx([1.02 * (value + 1.5) for value in (second, first, third)])
    assert line(left, "chance") == ([10, 100, 1000], [31, 30, 32])
    dots = [one for one in left.lines if len(one.get_xdata()) == 2]  # type: ignore[arg-type]
    assert len(dots) == 6
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["gru", "lstm", "chance"]


def test_the_loss_alone_where_it_is_what_is_compared(swept: Make) -> None:
    study = swept("task.delay", [10, 12], {"lstm": [5.0, 6.0]})
    (figure,) = pictures(study, "loss").values()
    assert figure is not None
    assert [panel.get_ylabel() for panel in figure.axes] == ["test loss"]
    assert figure.axes[0].get_xscale() == "linear"


def test_what_is_infinite_is_left_out(swept: Make) -> None:
    (figure,) = pictures(swept("task.delay", [1, 2], {"irnn": [5.0, math.inf]})).values()
    assert figure is not None
    assert line(figure.axes[0], "irnn")[0] == [1]


def test_no_picture_where_no_number_varies_or_several_do(swept: Make, make_run: Make) -> None:
    study = swept("optimizer.name", ["adam", "sgd", "lamb"], SCORES)
    assert pictures(study) == {}
    for seed, (delay, size) in enumerate([(1, 1), (1, 2), (2, 1)]):
        make_run(
            "lstm", 1, 5.0, {"task.delay": delay, "model.hidden_size": size}, folder=f"b{seed}/x"
        )
    assert pictures(study / "b0") == {}
    both = [study / f"b{seed}" for seed in range(3)]
    assert key_plots(analyse(collect(both), both)) == {}


def test_cells_at_different_difficulty_have_no_winner_and_the_picture_is_written(
    swept: Make,
) -> None:
    study = swept("task.delay", [10, 100, 1000], SCORES)
    comparison, written = compare([study])
    assert comparison.answer.startswith("No row is the best here: the runs were trained on")
    assert "by_delay.png" in {path.name for path in written.files}
    text = (study / "comparison" / "comparison.md").read_text()
    assert "![by delay](by_delay.png)" in text
    assert "delay=1000" in text
    assert len([row for row in comparison.references if row.label.startswith("chance (d")]) == 3
