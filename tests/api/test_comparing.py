"""A comparison as an object: what the command says, and nothing written unless asked."""

import base64
import html
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas
import polars
import pytest

import unrolled
from unrolled.comparison.report import compare as compare_as_the_command
from unrolled.comparison.results import Comparison as Results
from unrolled.errors import ConfigError, RunError

Make = Callable[..., Path]


@pytest.fixture
def study(make_runs: Make) -> Path:
    make_runs("gru", [5.65, 5.60, 5.66])
    return make_runs("lstm", [5.31, 5.33, 5.30])


def said(results: Results) -> str:
    """All that a comparison says, less the folders that it names."""
    return repr((results.columns[0].name, results.rows, results.pairs, results.notes))


def test_it_says_what_the_command_says(study: Path) -> None:
    expected, written = compare_as_the_command(
        [study], "accuracy", "gru", ["cell.name", "model.layers"], Path("there"), "1%"
    )
    comparison = unrolled.compare(
        study, metric="accuracy", baseline="gru", by="cell.name,model.layers", equivalence="1%"
    )
    assert said(comparison.results) == said(expected)
    assert comparison.answer == expected.answer
    assert comparison.notes == [note.text for note in expected.notes]
    assert comparison.metric == "validation/accuracy"
    assert comparison.answer in comparison.to_markdown().replace("\\", "")
    assert "\\toprule" in comparison.to_latex()
    assert comparison.answer in repr(comparison)
    assert not (study / "comparison").exists()
    files = comparison.write("here")
    assert [path.name for path in files] == [path.name for path in written.files]
    for name in ("comparison.json", "comparison.csv", "comparison.md"):
        assert Path("here", name).read_text() == Path("there", name).read_text()
    assert comparison.write()[0].parent == study / "comparison"


@pytest.mark.parametrize("library", [None, "pandas", "polars"])
def test_the_table_is_a_frame_of_the_figures(study: Path, library: None) -> None:
    comparison = unrolled.compare(study)
    table = comparison.table(library)
    assert isinstance(table, polars.DataFrame if library == "polars" else pandas.DataFrame)
    assert list(table["label"]) == ["lstm", "gru", "unigram"]
    lstm, gru = comparison.results.rows
    assert list(table["validation/perplexity"])[:2] == [lstm.value.mean, gru.value.mean]
    assert next(iter(table["validation/perplexity_low"])) == lstm.value.low
    assert gru.difference is not None
    assert list(table["difference_p_corrected"])[1] == gru.difference.p_corrected


def test_runs_a_sweep_and_folders_are_compared_alike(study: Path) -> None:
    runs = [unrolled.Run(folder) for folder in sorted(study.glob("*-seed*"))]
    whole = unrolled.compare(study)
    sweep = unrolled.Sweep(tuple(runs))
    sources: list[Any] = [runs, [run.folder for run in runs], sweep, [str(study), runs[0]]]
    for source in sources:
        comparison = unrolled.compare(source)
        assert said(comparison.results) == said(whole.results)
        assert comparison.results.folders == (study,)
    assert [row.label for row in unrolled.Sweep(tuple(runs[:3])).compare().results.rows] == ["gru"]
    assert unrolled.compare(runs[0]).results.runs[0].folder == runs[0].folder


def test_in_a_notebook_it_shows_the_table_the_answer_and_the_pictures(study: Path) -> None:
    comparison = unrolled.compare(study)
    page = comparison._repr_html_()
    text = html.unescape(re.sub(r"<[^>]*>|\s+", " ", page))
    assert comparison.answer in text
    for note in comparison.notes:
        assert note in text
    for row in comparison.results.rows:
        figure = comparison.results.columns[1].cell(row)[0]
        assert figure in text
    pictures = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    assert len(pictures) == len(comparison.figures) >= 2
    assert {"learning_curves", "seeds"} <= {*comparison.figures}
    assert all(base64.b64decode(one).startswith(b"\x89PNG") for one in pictures)


def test_what_a_record_says_is_escaped_in_a_notebook(make_runs: Make) -> None:
    evil = "<img src=x onerror=alert(1)>"
    study = make_runs(evil, [5.0, 5.1])
    make_runs("gru", [5.2, 5.3])
    assert "onerror" in unrolled.compare(study).answer
    page = unrolled.compare(study)._repr_html_()
    assert "<img src=x" not in page
    assert html.escape(evil) in page


def test_bad_input_is_one_sentence(study: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="nowhere: no such folder"):
        unrolled.compare("nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match="empty: no run in it"):
        unrolled.compare(tmp_path / "empty")
    with pytest.raises(RunError, match="nothing given: no run in it"):
        unrolled.Sweep(()).compare()
    with pytest.raises(ConfigError, match="baseline=rnn: no row"):
        unrolled.compare(study, baseline="rnn")
    with pytest.raises(ConfigError, match="across=rows: data, or nothing"):
        unrolled.compare(study, across="rows")  # type: ignore[arg-type]
