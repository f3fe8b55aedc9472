import csv
import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unrolled.comparison.export import markdown, to_csv, to_json
from unrolled.runs.files import write_json

Make = Callable[..., Any]


@pytest.fixture
def study(make_runs: Make) -> None:
    """Two cells, one of them with an infinite seed, a baseline and a published figure."""
    published = [{"source": "a paper", "test/perplexity": 4.5}]
    make_runs("lstm", [5.61, 5.63, 5.60], config={"published": published})
    make_runs("gru", [5.65, math.inf, 5.66], config={"published": published})


@pytest.mark.usefixtures("study")
def test_csv_has_a_line_a_row_and_every_digit(analysed: Make) -> None:
    comparison = analysed()
    lines = list(csv.DictReader(io.StringIO(to_csv(comparison))))
    assert [line["label"] for line in lines] == ["lstm", "gru", "unigram", "a paper"]
    lstm, gru, unigram, paper = lines
    assert float(lstm["validation/perplexity"]) == comparison.rows[0].value.mean
    assert float(lstm["validation/perplexity_low"]) == comparison.rows[0].value.low
    assert (lstm["seeds"], lstm["cell.name"], lstm["verdict"]) == ("1 2 3", "lstm", "baseline")
    assert (gru["validation/perplexity"], gru["difference"]) == ("inf", "inf")
    assert gru["validation/perplexity_low"] == gru["difference_p"] == ""
    assert (unigram["validation/perplexity"], unigram["verdict"]) == ("21.3", "reference")
    assert (paper["validation/perplexity"], paper["test/perplexity"]) == ("", "4.5")


@pytest.mark.usefixtures("study")
def test_json_has_what_scripts_rely_on(analysed: Make, tmp_path: Path) -> None:
    write_json(tmp_path / "comparison.json", to_json(analysed()))
    values = json.loads((tmp_path / "comparison.json").read_text())
    assert list(values) == [
        "schema_version", "folders", "metric", "better", "other_metric", "baseline", "keys",
        "groups", "chance", "published", "answer", "pairs", "notes", "left_out",
    ]  # fmt: skip
    lstm, gru = values["groups"]
    assert {
        "label", "values", "seeds", "validation/perplexity", "test/perplexity", "difference",
        "median", "iqm", "sd", "effect_size", "improvement", "permutation_p",
        "parameters", "flops_per_token", "state_size", "seconds", "tokens_per_second", "runs",
    } <= set(lstm)  # fmt: skip
    assert lstm["seeds"] == [1, 2, 3]
    assert set(lstm["validation/perplexity"]) == {"mean", "low", "high", "seeds"}
    assert set(gru["difference"]) == {
        "seeds", "mean", "low", "high", "confidence", "p", "p_corrected", "verdict",
        "smallest_shown", "seeds_needed",
    }  # fmt: skip
    assert gru["validation/perplexity"]["mean"] == "inf"
    assert values["chance"] == [
        {"label": "unigram", "validation/perplexity": 21.3, "test/perplexity": 21.5}
    ]
    assert values["published"] == [
        {"label": "a paper", "validation/perplexity": None, "test/perplexity": 4.5}
    ]


@pytest.mark.usefixtures("study")
def test_markdown_has_the_rows_and_what_they_are_read_against(analysed: Make) -> None:
    lines = markdown(analysed(), ["seeds.png"]).splitlines()
    rows = [line for line in lines if line.startswith("|")][2:]
    assert [row.split(" | ")[0] for row in rows] == ["| lstm", "| gru", "| unigram", "| a paper"]
    assert "| 3 | inf | inf | +inf | infinite: no claim |" in rows[1]
    assert "| 21.300 | 21.500 |  | reference |" in rows[2]
    assert "| - | 4.500 |  | published |" in rows[3]
    assert "![seeds](seeds.png)" in lines


def test_what_models_cost(make_runs: Make, analysed: Make) -> None:
    sizes = {"parameters": 100_000, "flops_per_token": 200_000, "state_size": 128}
    make_runs("lstm", [5.6, 5.7], model=sizes)
    make_runs("gru", [6.6, 6.8])
    comparison = analysed()
    lstm, gru = to_json(comparison)["groups"]
    for group in (lstm, lstm["runs"][0]):
        assert (group["flops_per_token"], group["state_size"]) == (200_000, 128)
    assert gru["flops_per_token"] is gru["state_size"] is None
    table = markdown(comparison)
    assert "| 100,000 | 200K | 128 | 20 | 100,000 |" in table
    assert "| 100,000 | - | - | 20 | 100,000 |" in table


def test_names_are_not_taken_for_markdown_or_commands(make_run: Make, analysed: Make) -> None:
    hostile = "my[link](http://x)`*\x1b[31m|\x9b2J\nb"
    make_run(hostile, 1, folder="x", name="\x1b]0;owned")
    make_run("lstm", 1, status="failed", error={"type": "E", "message": "\x1b[2J"})
    text = markdown(analysed()) + to_csv(analysed())
    assert not {"\x1b", "\x9b", "\t"} & set(text)
    row = next(line for line in text.splitlines() if line.startswith("| my"))
    assert row.startswith("| my[link]\\(http://x)\\`\\*\\\\x1b[31m\\|\\\\x9b2J\\\\nb | 1 |")
