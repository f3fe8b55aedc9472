import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unrolled.comparison.latex import escape, to_latex

Make = Callable[..., Any]


def test_every_row_and_reference_with_every_column(make_runs: Make, analysed: Make) -> None:
    make_runs("gru", [5.65, 5.60, 5.66])
    make_runs("lstm_x", [5.61, 5.63, 5.60])
    comparison = analysed()
    shown = [column for column in comparison.columns if not column.detail]
    text = to_latex(comparison)
    lines = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(lines) == 1 + len(comparison.lines)
    for line in lines:
        assert len(re.findall(r"(?<!\\)&", line)) == len(shown) - 1
    assert lines[1].startswith(r"lstm\_x & 3 & 5.613 [")
    assert lines[-1].startswith("unigram & ")
    assert text.index(r"\toprule") < text.index(r"\midrule") < text.index(r"\bottomrule")
    columns = re.search(r"\\begin\{tabular\}\{([lr]+)\}", text)
    assert columns is not None
    assert len(columns[1]) == len(shown)


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("50 % & more_than #1", r"50 \% \& more\_than \#1"),
        (r"\input{x}$y^2~", r"\textbackslash{}input\{x\}\$y\textasciicircum{}2\textasciitilde{}"),
        ("a--b", "a-{}-{}b"),
        ("line\nbreak", r"line\textbackslash{}nbreak"),
    ],
)
def test_what_latex_would_obey_is_text(text: str, escaped: str) -> None:
    assert escape(text) == escaped


def test_a_name_that_begins_with_a_bracket_is_no_option(make_run: Make, analysed: Make) -> None:
    make_run("[2em]", 1)
    assert "{}[2em] & 1" in to_latex(analysed())


def test_it_lies_beside_the_others(make_runs: Make, tmp_path: Path) -> None:
    from unrolled.comparison.report import compare

    study = make_runs("gru", [5.65, 5.60, 5.66])
    comparison, written = compare([study])
    path = study / "comparison" / "comparison.tex"
    assert path in written.files
    assert path.read_text(encoding="utf-8") == to_latex(comparison)
