"""Rows that are of several data sets: what is a row, its rank, and what must hold."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from unrolled.cli import main
from unrolled.comparison.collect import collect
from unrolled.comparison.rank_plots import cliques, critical_difference
from unrolled.comparison.report import analyse, compare
from unrolled.comparison.results import Comparison
from unrolled.errors import RunError

Make = Callable[..., Path]
# By data set the level, and by cell what it adds to that in seeds 1, 2 and 3.
LEVELS = {"a": 5.0, "b": 7.0, "c": 50.0, "d": 20.0, "e": 9.0, "f": 6.0, "g": 8.0, "h": 4.0}
SHIFTS = {"lstm": [0.0, 0.01, 0.02], "gru": [0.03, 0.02, 0.04], "rnn_tanh": [0.5, 0.6, 0.51]}


@pytest.fixture
def make_study(make_run: Make, tmp_path: Path) -> Callable[..., Path]:
    def make(
        levels: Mapping[str, float], shifts: Mapping[str, Sequence[float]] = SHIFTS, **fields: Any
    ) -> Path:
        for place, (data, level) in enumerate(levels.items()):
            for cell, values in shifts.items():
                for seed, value in enumerate(values, start=1):
                    make_run(
                        cell,
                        seed,
                        level + value * (1 + place / 10),
                        # What goes with the data set tells no rows apart.
                        config={"dataset.name": data, "model.hidden_size": 64 + place},
                        data={"name": data, "fingerprint": data * 64},
                        folder=f"{data}/{cell}-{seed}",
                        **fields,
                    )
        return tmp_path / "study"

    return make


def across(study: Path, **options: Any) -> Comparison:
    return analyse(collect([study], across_data=True), [study], **options)


def test_a_row_is_of_every_data_set_and_ranked(make_study: Callable[..., Path]) -> None:
    comparison = across(make_study(LEVELS))
    assert [row.label for row in comparison.rows] == ["lstm", "gru", "rnn_tanh"]
    assert comparison.keys == ("cell.name",)
    lstm, gru, rnn = comparison.rows
    assert (lstm.rank, gru.rank, rnn.rank) == (1.0, 2.0, 3.0)
    assert lstm.seeds == [1, 2, 3]
    assert len(lstm.runs) == 24
    expected = sum(level + 0.01 * (1 + place / 10) for place, level in enumerate(LEVELS.values()))
    assert lstm.value.mean == pytest.approx(expected / 8)
    assert lstm.value.low is not None
    # The data sets' levels, from 4 to 50, are no spread of the mean.
    assert expected / 8 - lstm.value.low < 0.02
    assert rnn.difference is not None
    assert rnn.difference.verdict == "worse"
    assert comparison.no_headline is None


def test_the_answer_is_of_ranks_and_says_what_the_data_sets_cannot_show(
    make_study: Callable[..., Path],
) -> None:
    # Of 8 data sets Wilcoxon's smallest p is 1 / 128, three of which are corrected together.
    comparison = across(make_study(LEVELS))
    assert comparison.answer == (
        "Over 8 data sets lstm has the best mean rank (1.00 of 3; Friedman p < 0.001); against "
        "it, by Wilcoxon's test: gru worse (p = 0.023), rnn_tanh worse (p = 0.023)."
    )
    assert not any("different data" in note.text for note in comparison.notes)
    assert any("A row is of 8 data sets" in note.text for note in comparison.notes)
    assert comparison.pairs[0].sentence.startswith("lstm is better than gru by 0.")
    assert "in the mean over these data sets, p " in comparison.pairs[0].sentence
    named = across(comparison.folders[0], baseline="gru").answer
    assert "against gru, by Wilcoxon's test: lstm better (p = 0.023), rnn_tanh worse" in named


def test_few_data_sets_show_nothing_and_say_so(make_study: Callable[..., Path]) -> None:
    comparison = across(make_study({"a": 5.0, "b": 7.0, "c": 6.0}))
    assert "gru no difference shown (p = 0.75)" in comparison.answer
    (loud,) = [note.text for note in comparison.notes if "data sets Wilcoxon" in note.text]
    assert loud == (
        "With 3 data sets Wilcoxon's test has no p below 0.25; for 3 comparisons corrected "
        "together it takes 7 to reach 0.05."
    )


def test_one_seed_a_data_set_is_enough_for_ranks(make_study: Callable[..., Path]) -> None:
    comparison = across(make_study(LEVELS, {cell: values[:1] for cell, values in SHIFTS.items()}))
    assert "gru worse (p = 0.023)" in comparison.answer
    assert comparison.rows[1].difference is not None
    assert comparison.rows[1].difference.verdict == "one common seed: no claim"


def test_higher_is_better_for_an_accuracy(make_study: Callable[..., Path]) -> None:
    comparison = across(make_study(LEVELS), metric="accuracy")
    assert [row.rank for row in comparison.rows] == [1.0, 2.0, 3.0]
    assert comparison.rows[0].label == "lstm"


def test_a_row_that_lacks_a_data_set_is_refused(
    make_study: Callable[..., Path], make_run: Make
) -> None:
    study = make_study({"a": 5.0, "b": 7.0})
    make_run(
        "mgu", 1, 5.0, config={"dataset.name": "a"}, data={"name": "a", "fingerprint": "a" * 64}
    )
    with pytest.raises(RunError, match="mgu has no finished run on b:bbbbbb, and every row needs"):
        across(study)


def test_one_data_set_is_refused(make_study: Callable[..., Path]) -> None:
    with pytest.raises(RunError, match="every run is of a:aaaaaa; compare it without --across"):
        across(make_study({"a": 5.0}))


def test_one_row_has_no_rank(make_study: Callable[..., Path]) -> None:
    comparison = across(make_study({"a": 5.0, "b": 6.0}, {"lstm": [0.0, 0.1, 0.2]}))
    assert comparison.ranking is None
    assert "nothing to compare it with" in comparison.answer


def test_other_settings_within_a_data_set_are_other_rows(
    make_study: Callable[..., Path], make_run: Make
) -> None:
    study = make_study({"a": 5.0, "b": 7.0})
    for data, hidden in (("a", 64), ("b", 65)):
        make_run(
            "lstm", 1, 5.0, folder=f"{data}-2",
            config={"dataset.name": data, "model.hidden_size": hidden, "model.layers": 2},
            data={"name": data, "fingerprint": data * 64},
        )  # fmt: skip
    comparison = across(study)
    assert comparison.added == ("model.layers",)
    assert {"lstm layers=1", "lstm layers=2"} < {row.label for row in comparison.rows}


def test_another_tokenizer_within_a_data_set_is_not_compared(
    make_study: Callable[..., Path], make_run: Make
) -> None:
    study = make_study({"a": 5.0, "b": 7.0}, {"lstm": [0.0, 0.1, 0.2]})
    for data in "ab":
        make_run(
            "gru", 1, 5.0, folder=f"{data}-2", config={"dataset.name": data},
            data={"name": data, "fingerprint": data * 64, "tokenizer": "word"},
        )  # fmt: skip
    comparison = across(study, metric="perplexity")
    assert comparison.no_headline is not None
    assert comparison.answer.startswith("No row is the best here")


def test_the_command_writes_the_diagram_and_the_ranks(
    make_study: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    study = make_study(LEVELS)
    assert main(["compare", str(study), "--across", "data"]) == 0
    assert "mean rank" in capsys.readouterr().out
    output = study / "comparison"
    assert (output / "critical_difference.png").stat().st_size > 5_000
    told = json.loads((output / "comparison.json").read_text())
    assert told["ranking"]["mean_ranks"] == {"lstm": 1.0, "gru": 2.0, "rnn_tanh": 3.0}
    assert [group["mean_rank"] for group in told["groups"]] == [1.0, 2.0, 3.0]
    text = (output / "comparison.md").read_text()
    assert "## Ranks over data sets" in text
    assert "lstm ranks better than gru over 8 data sets (mean ranks 1.00 and 2.00; by Wil" in text
    assert "![critical difference](critical_difference.png)" in text


def test_without_several_data_sets_there_is_no_diagram(make_runs: Make) -> None:
    make_runs("gru", [5.0, 5.1])
    study = make_runs("lstm", [6.0, 6.1])
    comparison, written = compare([study])
    assert critical_difference(comparison.ranking) is None
    assert "critical_difference.png" not in {path.name for path in written.files}


def test_the_diagram_names_every_row_and_joins_what_is_not_told_apart(
    make_study: Callable[..., Path],
) -> None:
    comparison = across(make_study(LEVELS))
    figure = critical_difference(comparison.ranking)
    assert isinstance(figure, Figure)
    texts = [text.get_text().strip() for text in figure.axes[0].texts]
    assert {"lstm  1.00", "gru  2.00", "3.00  rnn_tanh"} < set(texts)
    assert "critical difference 1.17 (Nemenyi, 5 %)" in texts
    bars = [line for line in figure.axes[0].lines if line.get_linewidth() == 4]
    assert len(bars) == 2


def test_bars_are_the_longest_runs_that_are_not_told_apart() -> None:
    ranks = {"a": 1.0, "b": 1.5, "c": 2.4, "d": 4.0}
    assert cliques(ranks, 1.2) == [(1.0, 1.5), (1.5, 2.4)]
    assert cliques(ranks, 1.5) == [(1.0, 2.4)]
    assert cliques(ranks, 0.1) == []
