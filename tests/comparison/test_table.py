import io
import math
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from unrolled.comparison.collect import collect
from unrolled.comparison.report import analyse
from unrolled.comparison.table import print_comparison

Make = Callable[..., Path]


def shown(study: Path, width: int | None, metric: str | None = None) -> str:
    """What is printed in a terminal of this width, or, without one, in a pipe."""
    console = Console(
        file=io.StringIO(), width=width or 60, force_terminal=width is not None, no_color=True
    )
    comparison = analyse(collect([study]), [study], metric)
    print_comparison(comparison, ["the report: there"], console)
    assert isinstance(console.file, io.StringIO)
    return re.sub(r"\x1b\[[\d;]*m", "", console.file.getvalue())


def terminal(study: Path, width: int, metric: str | None = None) -> str:
    """The table that a person sees in a terminal of this width."""
    return shown(study, width, metric).partition("\n! ")[0].partition("\n- ")[0]


@pytest.mark.parametrize("metric", [None, "bits_per_character", "accuracy"])
def test_table_of_a_few_rows_has_everything_in_100_columns(
    make_runs: Make, metric: str | None
) -> None:
    make_runs("rnn_tanh", [6.02, 6.05, 6.00])
    study = make_runs("lstm", [5.61, 5.63, 5.60])
    table = terminal(study, 100, metric)
    assert max(map(len, table.splitlines())) <= 100
    for word in ("lstm", "rnn_tanh", "100,000", "20", "baseline", "worse, p ", "["):
        assert word in table
    assert ("unigram" in table) == (metric is None)


def test_in_a_pipe_a_row_is_a_line_with_everything_in_it(make_runs: Make) -> None:
    make_runs("rnn_tanh", [121.02, 133.05, 127.00])
    text = shown(make_runs("lstm", [101.6, 100.2, 99.9]), width=None)
    lines = text.splitlines()
    (row,) = [line for line in lines if line.startswith("rnn_tanh")]
    for word in ("127.0 [112.1, 142.0]", "+26.5 [", "worse, p = 0.021", "100,000"):
        assert word in " ".join(row.split())
    (note,) = [line for line in lines if line.startswith("- [low, high]")]
    assert len(note) > 100
    assert lines[-1] == "  the report: there"
    assert "median" not in text


@pytest.fixture
def every_cell(make_run: Make, tmp_path: Path) -> Path:
    """Two seeds of 21 cells that cost different things; one of them with an old record."""
    names = ["gru_reset_before", *(f"cell{index}" for index in range(19)), "older"]
    for place, name in enumerate(names):
        for seed in (1, 2):
            model = {"parameters": 100_000 + place}
            if name != "older":
                model |= {"flops_per_token": 612_345 + 1000 * place, "state_size": 1024}
            timing = {"seconds": 1234.0, "tokens_per_second": 23_456.0 + place}
            perplexity = 5 + place / 10 + seed / 100
            make_run(name, seed, perplexity, model=model, timing=timing)
    return tmp_path


@pytest.mark.parametrize(("width", "columns"), [(100, 10), (80, 7)])
def test_every_cell_has_one_line_of_a_screen(every_cell: Path, width: int, columns: int) -> None:
    head, _, *rows = terminal(every_cell, width).splitlines()[1:]
    assert max(map(len, rows)) <= width
    names = head.split()
    assert len(names) == columns
    assert len({row.split()[0] for row in rows[:21]}) == 21
    speed = ["1,234", "23.5K"] if "seconds" in names else []
    assert names[names.index("params") :][:3] == ["params", "FLOPs", "state"]
    assert rows[0].split()[-3 - len(speed) :] == ["100K", "612K", "1.02K", *speed]
    assert rows[20].split()[0] == "older"
    assert rows[20].split()[-3 - len(speed) :] == ["100K", "-", "-", *speed]


@pytest.mark.parametrize("width", [60, 70, 80, 100])
def test_no_figure_is_cut_off(make_run: Make, tmp_path: Path, width: int) -> None:
    for cell in ("lstm_mogrifier", "gru_reset_before"):
        for seed in (1, 2):
            model = {"parameters": 100_123, "flops_per_token": 612_345, "state_size": 512}
            timing = {"seconds": 478.0, "tokens_per_second": 123_456.0}
            perplexity = 105 + seed / 100 + 10 * (cell == "lstm_mogrifier")
            make_run(cell, seed, perplexity, model=model, timing=timing)
    text = terminal(tmp_path, width)
    assert max(map(len, text.splitlines())) <= width
    for word in ("105.0", "115.0", "100K" if width < 100 else "100,123"):
        assert word in text
    # A column is there as a whole or not at all.
    for heading, figure in (("FLOPs", "612K"), ("state", "512"), ("seconds", "478")):
        assert text.count(figure) == 2 * (heading in text)
    assert ("FLOPs" in text) == (width >= 70)


def test_infinite_figures_are_shown_as_such(make_runs: Make) -> None:
    make_runs("irnn", [math.inf, math.inf])
    study = make_runs("lstm", [5.0, 5.1])
    for width in (None, 100, 80):
        text = shown(study, width)
        row = text[text.index("irnn") :]
        assert "inf" in row
        assert "+inf" in row
        assert "no claim" in row


def test_names_are_not_taken_for_markup_or_commands(make_run: Make, tmp_path: Path) -> None:
    make_run("my[bold]cell|a\x1b[2J\x9b1m", 1, folder="x", name="\x1b]0;owned\x07")
    make_run("lstm", 1, status="failed", error={"type": "E", "message": "\x1b[31mred"})
    for width in (None, 200, 80):
        console = Console(
            file=io.StringIO(), width=width, force_terminal=bool(width), color_system=None
        )
        comparison = analyse(collect([tmp_path]), [tmp_path / "\x1b[5m"])
        print_comparison(comparison, [f"the report: {tmp_path}/\x1b[5m"], console)
        assert isinstance(console.file, io.StringIO)
        text = console.file.getvalue()
        assert not {"\x1b", "\x9b", "\x07"} & set(text)
        assert "my[bold]cell|a\\x1b[2J\\x9b1m" in text
        assert "E: \\x1b[31mred" in text.replace("\n", " ").replace("  ", " ")
