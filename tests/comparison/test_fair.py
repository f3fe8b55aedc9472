"""What a comparison says of fair studies, from their records."""

from collections.abc import Callable
from typing import Any

import numpy as np

from unrolled.comparison.results import Comparison
from unrolled.comparison.tuning_plot import tuning

Make = Callable[..., Any]
SPACE = ["optimizer.lr=tag(log, interval(0.001, 0.1))"]


def trial(role: str, search: str, number: int = 0, trials: int = 8, **more: Any) -> dict[str, Any]:
    return {
        "trial": {
            "role": role,
            "search": search,
            "number": number,
            "trials": trials,
            "space": SPACE,
            "objectives": ["validation/loss"],
        },
        **more,
    }


def fair_runs(make_run: Make, cell: str, lr: float, figures: list[float], **more: Any) -> None:
    """The final runs of a cell's best setting."""
    for seed, figure in enumerate(figures, start=1):
        config = trial("final", cell, **more) | {"optimizer.lr": lr}
        make_run(cell, seed, figure, config=config, folder=f"{cell}-{lr}-{seed}")


def said(comparison: Comparison) -> str:
    return "\n".join(note.text for note in comparison.notes)


def test_cells_at_settings_of_their_own_are_rows_by_cell(make_run: Make, analysed: Make) -> None:
    fair_runs(make_run, "lstm", 0.03, [5.0, 5.1, 5.2])
    fair_runs(make_run, "gru", 0.01, [5.5, 5.6, 5.7])
    for number, lr in enumerate([0.002, 0.03]):
        config = trial("search", "lstm", number) | {"optimizer.lr": lr}
        make_run("lstm", 0, 4.0, config=config, folder=f"search-{number}")
    comparison = analysed()
    assert [row.label for row in comparison.rows] == ["lstm", "gru"]
    assert all(row.seeds == [1, 2, 3] for row in comparison.rows)
    assert "lstm: optimizer.lr=0.03; gru: optimizer.lr=0.01" in said(comparison)
    assert "differ in more than the cell" not in said(comparison)
    assert comparison.left_out == ()
    # What was searched is there for the search's picture, with the trials alone.
    (search,) = comparison.searches
    assert (search.name, len(search.trials), search.fair) == ("lstm", 2, True)
    # Its picture has the metric against what was searched.
    figure = tuning(comparison.searches)
    assert figure is not None
    (panel,) = figure.axes
    assert panel.get_xlabel() == "optimizer.lr"
    assert np.asarray(panel.lines[0].get_xdata()).tolist() == [0.002, 0.03]


def test_trials_of_one_choice_are_drawn_beside_one_another(make_run: Make, analysed: Make) -> None:
    for cell, rate, base in [("lstm", 0.03, 5.0), ("gru", 0.01, 5.5)]:
        fair_runs(make_run, cell, rate, [base, base + 0.1, base + 0.2])
        for number, rate in enumerate([0.01, 0.03, 0.01]):
            config = trial("search", cell, number) | {"optimizer.lr": rate}
            make_run(cell, 0, base + number, config=config, folder=f"search-{cell}-{number}")
    figure = tuning(analysed().searches)
    assert figure is not None
    (panel,) = figure.axes
    # A line would go up and down at one place.
    assert not panel.lines
    assert [label.get_text() for label in panel.get_xticklabels()] == ["0.01", "0.03"]
    places = np.concatenate([np.asarray(dots.get_offsets())[:, 0] for dots in panel.collections])
    assert np.unique(places.round(6)).tolist() == [-0.15, 0.15, 0.85, 1.15]


def test_what_follows_from_a_searched_key_is_no_further_difference(
    make_run: Make, analysed: Make
) -> None:
    """As ``model.layer_dropout`` follows from ``model.dropout``; what does not follow is said."""
    for cell, rate, base in [("lstm", 0.03, 5.0), ("gru", 0.01, 5.5)]:
        follows = {"optimizer.warm": rate, "optimizer.other": 2 * rate}
        fair_runs(make_run, cell, rate, [base, base + 0.1, base + 0.2], **follows)
    assert "differ in more than the cell: optimizer.other" in said(analysed())


def test_many_searches_have_a_legend_that_fits(make_run: Make, analysed: Make) -> None:
    for index in range(21):
        cell = f"lstm_with_a_long_name_{index:02}"
        fair_runs(make_run, cell, 0.03, [5.0 + index, 5.1 + index])
        for number, lr in enumerate([0.002, 0.03]):
            config = trial("search", cell, number) | {"optimizer.lr": lr}
            make_run(cell, 0, 5.0 + index, config=config, folder=f"search-{cell}-{number}")
    figure = tuning(analysed().searches)
    assert figure is not None
    figure.canvas.draw()
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names[0] == "lstm_with_a_long_name_00"
    assert names[-1] == f"{21 - len(names) + 1} others"


def test_searches_come_in_the_order_of_their_rows(make_run: Make, analysed: Make) -> None:
    for cell, figure in (("gru", 6.0), ("lstm", 5.0)):
        fair_runs(make_run, cell, 0.03, [figure, figure + 0.1])
        config = trial("search", cell) | {"optimizer.lr": 0.03}
        make_run(cell, 0, figure, config=config, folder=f"search-{cell}")
    assert [search.name for search in analysed().searches] == ["lstm", "gru"]


def test_an_optimum_at_the_edge_is_said_with_the_way_to_widen(
    make_run: Make, analysed: Make
) -> None:
    fair_runs(make_run, "lstm", 0.095, [5.0, 5.1])
    fair_runs(make_run, "gru", 0.00105, [5.5, 5.6])
    loud = [note.text for note in analysed().notes if note.loud]
    above = next(
        text for text in loud if text.startswith("lstm: optimizer.lr=0.095 is at the end")
    )
    assert "'optimizer.lr=tag(log, interval(0.001, 1))'" in above
    below = next(
        text for text in loud if text.startswith("gru: optimizer.lr=0.00105 is at the en")
    )
    assert "'optimizer.lr=tag(log, interval(0.0001, 0.1))'" in below


def test_the_best_of_all_trials_with_none_beyond_it_is_said(
    make_run: Make, analysed: Make
) -> None:
    for cell, best in (("lstm", 0.003), ("gru", 0.04), ("mgu", 0.01)):
        fair_runs(make_run, cell, best, [5.0, 5.1], trials=3)
        for number, lr in enumerate([0.003, 0.01, 0.04]):
            config = trial("search", cell, number, trials=3) | {"optimizer.lr": lr}
            make_run(cell, 0, 5.0, config=config, folder=f"search-{cell}-{number}")
    edges = [note.text for note in analysed().notes if "widen it" in note.text]
    assert [text.partition(" (")[0] for text in edges] == [
        "gru: optimizer.lr=0.04 is the highest of the 3 tried",
        "lstm: optimizer.lr=0.003 is the lowest of the 3 tried",
    ]
    assert "'optimizer.lr=tag(log, interval(0.001, 1))'" in edges[0]
    assert "'optimizer.lr=tag(log, interval(0.0001, 0.1))'" in edges[1]


def test_final_runs_of_a_setting_that_a_longer_search_left_are_superseded(
    make_run: Make, analysed: Make
) -> None:
    fair_runs(make_run, "lstm", 0.02, [6.0, 6.1], number=3)
    fair_runs(make_run, "lstm", 0.03, [5.0, 5.1], number=11, trials=16)
    comparison = analysed()
    (row,) = comparison.rows
    assert row.value.mean == 5.05
    assert {run.state for run in comparison.left_out} == {"superseded"}
    assert "its search has gone on" in said(comparison)


def test_unequal_searches_and_untuned_rows_are_said(make_run: Make, analysed: Make) -> None:
    fair_runs(make_run, "lstm", 0.02, [6.0, 6.1], trials=16)
    fair_runs(make_run, "gru", 0.02, [6.0, 6.1])
    make_run("rnn_tanh", 1, 7.0)
    loud = "\n".join(note.text for note in analysed().notes if note.loud)
    assert "The searches differ in trials" in loud
    assert "Not tuned as the others were: rnn_tanh" in loud


def test_a_search_without_final_runs_is_shown_as_such(make_run: Make, analysed: Make) -> None:
    for number, lr in enumerate([0.002, 0.03]):
        config = trial("search", "lstm", number) | {"optimizer.lr": lr}
        make_run("lstm", 0, 4.0 + number, config=config, folder=f"search-{number}")
    comparison = analysed()
    assert len(comparison.rows) == 2
    assert "no final runs yet" in "\n".join(n.text for n in comparison.notes if n.loud)


def test_an_answer_from_runs_that_still_learn_fast_says_so_first(
    make_runs: Make, analysed: Make
) -> None:
    history = [
        {"step": step, "epoch": 1, "seconds": 1.0, "validation/perplexity": 5 + 500 / step}
        for step in (100, 900, 1000)
    ]
    make_runs("lstm", [5.5, 5.6], history=history)
    make_runs("gru", [6.0, 6.1])
    assert "too short" not in analysed().answer
    steep = [*history[:2], {**history[2], "validation/perplexity": 5.2}]
    make_runs("mgu", [5.2, 5.3], history=steep)
    answer = analysed().answer
    assert answer.startswith("The runs are too short for a lasting answer: mgu (")
    assert "As far as they went, mgu has the lowest" in answer
