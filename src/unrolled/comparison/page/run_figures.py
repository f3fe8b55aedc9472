"""What the runs measured besides numbers, a row beside another: confusion matrices with each
class's share, curves, forecasts."""

from collections.abc import Iterable, Mapping

from unrolled.comparison.page import marks
from unrolled.comparison.page.diagnostics import Diagnostics
from unrolled.comparison.page.figure_charts import (
    ByRow,
    curves_chart,
    forecasts_chart,
    matrix_chart,
)
from unrolled.comparison.page.parts import Cell, Chart, Quoted, Section, Table
from unrolled.comparison.results import Comparison
from unrolled.comparison.run_figures import figures_of
from unrolled.figures.draw import summed
from unrolled.runs.figures import Curve, Forecast, Matrix
from unrolled.runs.text import one_line

_MOST_CLASSES = 60
_MOST_MATRICES = 12


def run_figures(comparison: Comparison) -> Section:
    """The figures in the records."""
    rows = comparison.rows[: marks.MOST_ROWS]
    names = sorted({name for row in rows for run in row.runs for name in run.record.figures})
    return _section(
        "figures",
        "What the runs measured",
        {
            name: {
                one_line(row.label): [
                    one for run in row.runs for one in figures_of(run.record.figures, name)
                ]
                for row in rows
            }
            for name in names
        },
    )


def diagnostics(comparison: Comparison, found: Diagnostics) -> Section:
    """The figures and numbers of the runs that were diagnosed."""
    section = _section("diagnostics", "Diagnostics", found.figures)
    tables = [*section.tables]
    if found.numbers:
        rows = [
            r.label for r in comparison.rows if any(r.label in of for of in found.numbers.values())
        ]
        headings = [("number", True), *((one_line(label), False) for label in rows)]
        body = [
            [Cell([_words(name)]), *(_number(of.get(label)) for label in rows)]
            for name, of in found.numbers.items()
        ]
        tables.insert(0, Table(headings, body, title="The mean of a row's diagnosed runs"))
    texts = [Quoted("could not be read", one_line(reason)) for reason in found.damaged]
    return Section("diagnostics", "Diagnostics", "", section.charts, tables, texts)


def _section(name: str, title: str, figures: Mapping[str, ByRow]) -> Section:
    charts: list[Chart] = []
    tables: list[Table] = []
    for of, by_row in figures.items():
        rows = {label: members for label, members in by_row.items() if members}
        kinds = {type(one) for members in rows.values() for one in members}
        if len(kinds) != 1:
            continue
        kind = kinds.pop()
        # The legend's colours are by the place among all rows.
        labels = list(by_row)
        if kind is Curve:
            charts.append(Chart(_words(of), curves_chart(rows, labels)))
        elif kind is Forecast:
            charts.append(Chart(_words(of), forecasts_chart(rows, labels), wide=True))
        else:
            matrices = {label: summed(members) for label, members in rows.items()}
            small = {k: m for k, m in matrices.items() if len(m.rows) <= _MOST_CLASSES}
            drawn = dict([*small.items()][:_MOST_MATRICES])
            said = "In percent of each row of the matrix."
            if len(drawn) < len(matrices):
                said += f" {len(drawn)} of {len(matrices)} are drawn."
            charts += [
                Chart(f"{_words(of)}: {label}", matrix_chart(matrix), said)
                for label, matrix in drawn.items()
            ]
            tables += _classes(of, matrices)
    return Section(name, title, "", charts, tables)


def _classes(of: str, matrices: Mapping[str, Matrix]) -> Iterable[Table]:
    """For each class the share that was taken for itself, where matrices are square; rows of the
    same classes side by side."""
    alike: dict[tuple[str, ...], dict[str, Matrix]] = {}
    for label, matrix in matrices.items():
        if list(matrix.rows) == list(matrix.columns) and len(matrix.rows) > 1:
            alike.setdefault(tuple(matrix.rows), {})[label] = matrix
    for names, same in alike.items():
        first = next(iter(same.values()))
        headings = [(one_line(first.row_title), True), ("count", False)]
        headings += [(label, False) for label in same]
        body = []
        for place, name in enumerate(names):
            totals = [sum(matrix.values[place]) for matrix in same.values()]
            taken = [matrix.values[place][place] for matrix in same.values()]
            shares = [
                one / total if total else None for one, total in zip(taken, totals, strict=True)
            ]
            counted = Cell([f"{max(totals):,.0f}"], max(totals))
            body.append([Cell([one_line(name)]), counted, *map(_share, shares)])
        title = f"{_words(of)}: the share of each class that was taken for itself"
        yield Table(headings, body, title=title)


def _share(value: float | None) -> Cell:
    return Cell(["-"]) if value is None else Cell([f"{100 * value:.1f} %"], value)


def _number(value: float | None) -> Cell:
    return Cell(["-"]) if value is None else Cell([f"{value:,.4g}"], value)


def _words(name: str) -> str:
    return one_line(name).replace("_", " ").replace("/", " ")
