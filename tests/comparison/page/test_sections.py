"""What each section shows, and where its figures come from."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unrolled.comparison.collect import collect
from unrolled.comparison.page.build import build_sections
from unrolled.comparison.page.curves import tokens_per_step
from unrolled.comparison.page.parts import Section
from unrolled.comparison.page.tradeoffs import pareto_front
from unrolled.comparison.report import analyse
from unrolled.comparison.statistics import Margin
from unrolled.runs.record import Record

Make = Callable[..., Any]


@pytest.fixture
def section(analysed: Make) -> Callable[[str], Section]:
    """A section of the fake study's page by its name."""
    return lambda name: next(s for s in build_sections(analysed()) if s.name == name)


def test_the_front_is_what_no_other_point_equals_or_beats_in_both() -> None:
    points = [(x, y) for x, y in itertools.product([1.0, 2.0, 3.0], [4.0, 5.0])] + [(2.5, 3.0)]
    front = {
        place
        for place, (x, y) in enumerate(points)
        if not any(a <= x and b <= y and (a, b) != (x, y) for a, b in points)
    }
    assert set(pareto_front(points)) == front
    # Of equal points one stands for both.
    assert pareto_front([(1.0, 1.0), (1.0, 1.0)]) == [0]


def test_costs_in_which_rows_differ(full_study: Path, section: Make) -> None:
    costs = section("costs")
    assert [chart.title for chart in costs.charts] == [
        "against parameters", "against FLOPs per token",
    ]  # fmt: skip
    assert "alike (within 5 %) in seconds of training (22)" in costs.intro
    points = costs.data["by parameters"]
    assert {point["row"] for point in points if point.get("front")} == {"gru"}


def test_of_a_metric_of_which_more_is_better_the_front_is_above(
    full_study: Path, analysed: Make
) -> None:
    costs = next(s for s in build_sections(analysed("accuracy")) if s.name == "costs")
    assert [p["row"] for p in costs.data["by parameters"] if p.get("front")] == ["gru"]


def test_curves_are_means_with_the_range_of_the_runs(make_runs: Make, section: Make) -> None:
    make_runs("lstm", [5.0, 6.0])
    first = section("curves").data["curves"][0]
    # 1 + 200 / 100 is the factor of the first validation.
    assert (first["step"], first["seconds"], first["runs"]) == (100, 2.0, 2)
    assert (first["low"], first["mean"], first["high"]) == pytest.approx((15.0, 16.5, 18.0))


def test_hundreds_of_validations_are_thinned_and_keep_their_ends(
    make_run: Make, section: Make
) -> None:
    history = [
        {"step": n, "seconds": n, "validation/perplexity": 9.0 - n / 999} for n in range(999)
    ]
    make_run("lstm", 1, history=history)
    points = section("curves").data["curves"]
    assert len(points) == 80
    assert (points[0]["step"], points[-1]["step"]) == (0, 998)


@pytest.mark.parametrize(
    ("tokens", "steps", "limit", "expected"),
    [
        (64_000, [50, 100], 100, 640),
        (64_000, [50, 100], 128, 500),  # it went on after its last validation
        (64_000, [50, 100], 10_000, 640),  # it was stopped early
        (64_000, [100], None, 640),
        (None, [100], 100, None),
        (64_000, [], 100, None),
    ],
)
def test_tokens_of_a_step(
    tokens: int | None, steps: list[int], limit: int | None, expected: float | None
) -> None:
    record = Record(
        "i", "s", "n", 1,
        config={"trainer": {"max_steps": limit}},
        history=[{"step": step} for step in steps],
        timing={"tokens": tokens},
    )  # fmt: skip
    assert tokens_per_step(record) == expected


def test_the_share_of_runs_at_or_better_than_a_value(make_runs: Make, section: Make) -> None:
    make_runs("gru", [5.0, 5.2, 5.4])
    make_runs("lstm", [5.1, 5.3, 5.5])
    make_runs("mgu", [5.1, 5.3])
    values = section("profile").charts[0].spec["layer"][0]["data"]["values"]
    gru = [(one["x"], round(3 * one["share"], 9)) for one in values if one["row"] == "gru"]
    assert gru == [(5.0, 0), (5.0, 1), (5.2, 2), (5.4, 3), (5.5, 3)]
    assert "mgu" not in {one["row"] for one in values}


def test_per_class_shares_of_all_runs_together(full_study: Path, section: Make) -> None:
    (table,) = section("figures").tables
    assert [heading for heading, _ in table.headings] == ["true class", "count", "gru", "lstm"]
    assert [[cell.lines[0] for cell in line] for line in table.body] == [
        ["no", "30", "80.0 %", "80.0 %"],
        ["yes", "30", "90.0 %", "90.0 %"],
    ]


def test_samples_are_the_last_ones_of_the_best_runs(full_study: Path, section: Make) -> None:
    texts = section("samples").texts
    assert [quoted.title for quoted in texts] == [
        "gru (gru-seed1-abc123, step 2)", "lstm (lstm-seed1-abc123, step 2)",
    ]  # fmt: skip
    assert {quoted.text for quoted in texts} == {"It was <late>"}


def test_diagnostics_are_means_over_the_runs_that_have_some(
    full_study: Path, section: Make
) -> None:
    path = full_study / "gru-seed1-abc123" / "diagnostics.json"
    path.write_text(json.dumps({"numbers": {"memory_length": 24.0, "of_one": "inf"}}))
    diagnostics = section("diagnostics")
    lines = {line[0].lines[0]: [c.order for c in line[1:]] for line in diagnostics.tables[0].body}
    assert lines["memory length"] == [16.0, 12.0]
    assert [chart.title for chart in diagnostics.charts] == ["gradient flow"]


def test_what_it_takes_to_repeat_it(full_study: Path, section: Make) -> None:
    repeat = section("repeat")
    assert repeat.texts[0].text.splitlines()[0] == "unrolled train -m cell=gru,lstm"
    environment, data, runs = repeat.tables
    said = {line[0].lines[0]: line[1].lines for line in environment.body}
    assert said["torch"] == ["2.13.0"]
    assert data.body[0][1].lines == ["f" * 64]
    assert len(runs.body) == 6
    (left,) = section("left_out").tables
    assert [cell.lines[0] for cell in left.body[0]] == [
        "rnn-seed1-abc123", "failed", "ValueError: no <memory>",
    ]  # fmt: skip


def test_environments_that_differ_are_counted(make_run: Make, section: Make) -> None:
    for seed, version in enumerate(("2.12", "2.13", "2.13")):
        make_run("gru", seed, environment={"packages": {"numpy": version}})
    environment = section("repeat").tables[0]
    assert environment.body[0][1].lines == ["2.13 (2 runs)", "2.12 (1 run)"]


def test_settings_of_trials_lie_between_the_ends_of_their_axes(
    make_run: Make, section: Make
) -> None:
    for number, (lr, layers) in enumerate([(1e-3, 1), (1e-2, 2), (1e-2, 1), (1e-1, 2)]):
        config = {
            "trial.search": "s", "trial.number": number,
            "optimizer.lr": lr, "model.layers": layers,
        }  # fmt: skip
        make_run("lstm", 1, 6.0 - number, config=config, name=f"r{number}")
    (history, parallel) = section("searches").charts
    assert history.title == "s: its trials in order"
    lines = parallel.spec["layer"][1]["data"]["values"]
    heights = {
        axis: [
            line["height"]
            for line in sorted(lines, key=lambda one: one["n"])
            if line["axis"] == axis
        ]
        for axis in ("optimizer.lr", "model.layers")
    }
    # Rates that span a hundredfold lie evenly along a logarithmic axis.
    assert heights["optimizer.lr"] == pytest.approx([0, 0.5, 0.5, 1])
    assert heights["model.layers"] == [0, 1, 0, 1]
    assert {line["n"]: line["rank"] for line in lines} == {3: 0, 2: 1 / 3, 1: 2 / 3, 0: 1}


def test_the_number_in_which_rows_differ_besides_the_cell(make_run: Make, section: Make) -> None:
    for cell, perplexity in (("gru", 5.0), ("lstm", 6.0)):
        for layers, seed in itertools.product((1, 2), (1, 2)):
            make_run(
                cell, seed, perplexity - layers + seed - 1,
                config={"model.layers": layers}, folder=f"{cell}{layers}{seed}",
            )  # fmt: skip
    number = section("number")
    assert number.title == "Against layers"
    means = {(v["label"], v["x"]): v["mean"] for v in number.charts[0].spec["data"]["values"]}
    assert means == {("gru", 1): 4.5, ("gru", 2): 3.5, ("lstm", 1): 5.5, ("lstm", 2): 4.5}


def test_what_several_objectives_trade(make_run: Make, analysed: Make) -> None:
    for number, (accuracy, parameters) in enumerate([(0.9, 200), (0.8, 100), (0.7, 150)]):
        make_run(
            "lstm", 1, name=f"r{number}", model={"parameters": parameters},
            metrics={"validation/loss": 1.0, "validation/accuracy": accuracy},
            config={
                "trial.search": "s", "trial.number": number, "optimizer.lr": 1.0 + number,
                "trial.objectives": ["validation/accuracy", "model.parameters"],
            },
        )  # fmt: skip
    found = {one.name: one for one in build_sections(analysed("loss"))}
    (chart,) = found["searches"].charts
    labels = {value["n"]: value["label"] for value in chart.spec["data"]["values"]}
    assert labels == {0: "front", 1: "front", 2: "others"}


def test_over_several_data_sets_runs_are_held_against_the_best_of_theirs(
    make_run: Make, tmp_path: Path
) -> None:
    for data, level in (("a", 1.0), ("b", 10.0)):
        for cell, times in (("gru", 1.0), ("lstm", 2.0)):
            for seed in (1, 2):
                make_run(
                    cell, seed, level * times * seed, folder=f"{data}{cell}{seed}",
                    data={"name": data, "fingerprint": data * 6},
                )  # fmt: skip
    study = tmp_path / "study"
    comparison = analyse(collect([study], across_data=True), [study], margin=Margin.of("1%"))
    sections = {section.name: section for section in build_sections(comparison)}
    values = sections["profile"].charts[0].spec["layer"][0]["data"]["values"]
    lstm = [(one["x"], one["share"]) for one in values if one["row"] == "lstm"]
    assert lstm == [(1.0, 0.0), (2.0, 0.25), (2.0, 0.5), (4.0, 0.75), (4.0, 1.0), (4.0, 1.0)]
    command = sections["repeat"].texts[0].text
    assert command.endswith("--metric validation/perplexity --across data --equivalence 1%")


def test_searches_of_a_fair_study_lie_over_one_another(make_run: Make, section: Make) -> None:
    for cell, shift in (("gru", 0.0), ("lstm", 1.0)):
        for number, lr in enumerate((0.001, 0.01, 0.1)):
            about = {"role": "search", "search": cell, "number": number, "trials": 3}
            config = {"trial": about | {"objectives": ["validation/loss"]}, "optimizer.lr": lr}
            make_run(cell, 0, 5.0 + shift, config=config, folder=f"{cell}-search-{number}")
        config = {"trial": {"role": "final", "search": cell, "number": 1}, "optimizer.lr": 0.01}
        make_run(cell, 1, 5.0 + shift, config=config, folder=f"{cell}-final")
    (chart,) = section("searches").charts
    assert chart.title == "optimizer.lr"
    found = {(v["label"], v["x"]) for v in chart.spec["data"]["values"]}
    assert found == {(cell, lr) for cell in ("gru", "lstm") for lr in (0.001, 0.01, 0.1)}
    assert [chart.title for chart in section("expected").charts] == ["validation loss"]
