import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from unrolled.comparison.report import compare
from unrolled.comparison.table import markdown, print_comparison

Make = Callable[..., Path]


def printed(study: Path, width: int = 80, metric: str | None = None) -> str:
    console = Console(file=io.StringIO(), width=width)
    print_comparison(compare([study], metric=metric), console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def terminal(study: Path, width: int) -> str:
    """The table that a person sees in a terminal of this width."""
    console = Console(file=io.StringIO(), width=width, force_terminal=True, no_color=True)
    print_comparison(compare([study]), console)
    assert isinstance(console.file, io.StringIO)
    text = re.sub(r"\x1b\[[\d;]*m", "", console.file.getvalue())
    return text.partition("\n! ")[0].partition("\n- ")[0]


@pytest.mark.parametrize("metric", [None, "bits_per_character", "accuracy"])
def test_table_fits_100_columns(make_runs: Make, metric: str | None) -> None:
    make_runs("rnn_tanh", [121.02, 133.05, 127.00])
    text = printed(make_runs("lstm", [101.6, 100.2, 99.9]), metric=metric)
    table = text.partition("\n! ")[0].partition("\n- ")[0]
    assert max(map(len, table.splitlines())) <= 100
    for word in ("lstm", "rnn_tanh", "100,000", "20", "baseline", "p = 0."):
        assert word in table
    assert "tensorboard --logdir" in text
    assert "unrolled generate" in text


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
    for word in ("105.0", "115.0", "612K", "512"):
        assert word in text
    assert "100,123" in text or "100K" in text
    assert text.count("478") == text.count("123,456") == (2 if "seconds" in text else 0)
    assert ("secon" in text) == ("seconds" in text)


def test_names_are_not_taken_for_markup(make_run: Make, tmp_path: Path) -> None:
    make_run("my[bold]cell|a", 1, folder="x")
    make_run("lstm", 1)
    assert "my[bold]cell|a" in printed(tmp_path, width=120)
    row = markdown(compare([tmp_path]), []).split("my[bold]cell")[2]
    assert row.startswith("\\|a | 1 |")
