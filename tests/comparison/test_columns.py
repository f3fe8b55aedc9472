"""A column is one object: every renderer shows it, and knows nothing of it."""

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from rich.console import Console

from unrolled.comparison.columns import Column
from unrolled.comparison.export import markdown, to_csv, to_json
from unrolled.comparison.results import Comparison
from unrolled.comparison.table import print_comparison

Make = Callable[..., Any]

EPOCHS = Column(
    "epochs", "epochs", lambda row: row.count_of("best.epoch"), lambda epochs: (f"{epochs} ep",)
)


def terminal(comparison: Comparison, width: int) -> str:
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=True, no_color=True)
    print_comparison(comparison, [], console)
    return file.getvalue()


def test_a_new_column_is_in_every_form(make_runs: Make, analysed: Make) -> None:
    make_runs("lstm", [5.0, 5.1], best={"step": 5, "epoch": 7})
    make_runs("gru", [6.0, 6.1], best={"step": 5, "epoch": 9})
    comparison = analysed()
    more = replace(comparison, columns=(*comparison.columns, EPOCHS))
    for text in (terminal(more, 120), terminal(more, 85), markdown(more)):
        assert "epochs" in text
        assert "7 ep" in text
        assert "9 ep" in text
    head, lstm, *_ = to_csv(more).splitlines()
    assert head.endswith(",epochs")
    assert lstm.endswith(",7")
    assert [group["epochs"] for group in to_json(more)["groups"]] == [7, 9]


def test_a_column_says_its_unit_and_its_direction(make_runs: Make, analysed: Make) -> None:
    make_runs("lstm", [5.0, 5.1])
    columns = {column.name: column for column in analysed("loss").columns}
    assert columns["validation/loss"].heading == "validation loss (nats per token)"
    assert columns["validation/loss"].direction == "min"
    assert columns["tokens_per_second"].heading == "tokens/s"
    accuracy = {column.name: column for column in analysed("accuracy").columns}
    assert accuracy["validation/accuracy"].direction == "max"
