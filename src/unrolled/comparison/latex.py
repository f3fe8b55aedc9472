"""A comparison's table for LaTeX, with the rules of the package booktabs."""

from collections.abc import Sequence

from unrolled.comparison.results import Comparison
from unrolled.runs.text import one_line

_MARKS = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\symbol{34}",
    "-": "-{}",  # two would be a dash
    "`": r"\textasciigrave{}",
    "'": r"\textquotesingle{}",
    **{mark: f"\\{mark}" for mark in "&%$#_{}"},
}


def to_latex(comparison: Comparison) -> str:
    """The rows, below a rule what they are read against, and the answer as the caption; every
    column but the details, of which a paper keeps those that it needs."""
    columns = [column for column in comparison.columns if not column.detail]
    lines = [
        "% Needs \\usepackage{booktabs} and, for names beyond ASCII, a font that has them.",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape(comparison.answer)}}}",
        rf"\begin{{tabular}}{{{''.join('l' if column.is_text else 'r' for column in columns)}}}",
        r"\toprule",
        _line([column.heading for column in columns]),
        r"\midrule",
        *(_line([" ".join(column.cell(row)) for column in columns]) for row in comparison.rows),
    ]
    if comparison.references:
        lines.append(r"\midrule")
        lines += [
            _line([" ".join(column.cell(level)) for column in columns])
            for level in comparison.references
        ]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"]) + "\n"


def escape(text: str) -> str:
    """Text that LaTeX sets as it stands."""
    return "".join(_MARKS.get(letter, letter) for letter in one_line(text))


def _line(cells: Sequence[str]) -> str:
    # A line that began with a bracket would be read as the option of the line break before it.
    first, *others = [escape(cell) for cell in cells]
    return " & ".join([f"{{}}{first}" if first.startswith("[") else first, *others]) + r" \\"
