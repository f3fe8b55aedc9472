import io
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


def test_names_are_not_taken_for_markup(make_run: Make, tmp_path: Path) -> None:
    make_run("my[bold]cell|a", 1, folder="x")
    make_run("lstm", 1)
    assert "my[bold]cell|a" in printed(tmp_path, width=120)
    row = markdown(compare([tmp_path]), []).split("my[bold]cell")[2]
    assert row.startswith("\\|a | 1 |")
