"""As much of the page as honestly exists."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unrolled.comparison.collect import collect
from unrolled.comparison.page.build import build_sections, page
from unrolled.comparison.report import analyse
from unrolled.comparison.run_figures import run_figures

Make = Callable[..., Any]
STORED = Path(__file__).parents[2] / "stored" / "first_version"


def names(comparison: Any) -> list[str]:
    return [section.name for section in build_sections(comparison)]


def test_records_of_the_first_version(parsed: Make) -> None:
    shown = parsed(page(analyse(collect([STORED]), [STORED])))
    assert {"table", "quality", "curves", "samples", "repeat"} <= set(shown.sections)
    # What that version left beside its records is shown as well.
    assert "the cat htllllll" in shown.text


@pytest.mark.parametrize("worse", [float("inf"), float("nan")])
def test_a_figure_that_is_not_finite(
    make_run: Make, analysed: Make, parsed: Make, worse: float
) -> None:
    make_run("lstm", 1, 5.0)
    make_run("lstm", 2, 5.2)
    history = [{"step": 1, "seconds": 1.0, "validation/perplexity": worse}]
    metrics = {"validation/perplexity": worse, "test/perplexity": worse}
    make_run("gru", 1, metrics=metrics, history=history)
    shown = parsed(page(analysed()))
    payload = json.dumps(shown.payload)
    assert "Infinity" not in payload
    assert "NaN" not in payload
    said = "is infinite in gru" if worse == float("inf") else "missing or not a number"
    assert said in shown.text


def test_no_row_has_a_finite_figure(make_run: Make, analysed: Make) -> None:
    for cell in ("gru", "lstm"):
        make_run(cell, 1, metrics={"validation/perplexity": float("inf")}, history=[])
    comparison = analysed("perplexity")
    assert "No row has a finite" in page(comparison)
    assert "profile" not in names(comparison)


def test_runs_without_costs_or_environment(make_run: Make, analysed: Make) -> None:
    for cell in ("gru", "lstm"):
        make_run(cell, 1, model={}, timing={}, environment={})
    assert "costs" not in names(analysed())
    curves = next(s for s in build_sections(analysed()) if s.name == "curves")
    assert [chart.title for chart in curves.charts] == [
        "over training steps", "over seconds of training",
    ]  # fmt: skip


NOT_NUMBERS = {"kind": "Curve", "x": ["x"], "y": [1], "x_title": "", "y_title": "", "marks": {}}


@pytest.mark.parametrize("text", ["{", "[]", '{"figures": []}'])
def test_a_damaged_file_of_diagnostics_is_named(make_run: Make, analysed: Make, text: str) -> None:
    path = make_run("gru", 1) / "diagnostics.json"
    path.write_text(text)
    comparison = analysed()
    assert "diagnostics" in names(comparison)
    assert f"{path}: " in page(comparison)
    assert not [name for name in run_figures(comparison.rows) if "diagnostics" in name]


@pytest.mark.parametrize(
    "text",
    [
        '{"figures": {"a": {"kind": "Nothing"}}, "numbers": {"b": "c"}}',
        json.dumps({"figures": {"a": NOT_NUMBERS}}),
    ],
)
def test_damaged_diagnostics_are_left_out(make_run: Make, analysed: Make, text: str) -> None:
    (make_run("gru", 1) / "diagnostics.json").write_text(text)
    assert "diagnostics" not in names(analysed())


def test_runs_of_different_tasks_have_no_front_and_no_profile(
    make_runs: Make, analysed: Make
) -> None:
    make_runs("lstm", [5.6, 5.7, 5.8], data={"name": "a", "fingerprint": "1"})
    make_runs("gru", [6.6, 6.8, 6.9], data={"name": "b", "fingerprint": "2"})
    comparison = analysed()
    assert not {"costs", "profile"} & set(names(comparison))
    assert "No row is the best here" in page(comparison)
