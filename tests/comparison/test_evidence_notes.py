import random
from collections.abc import Callable
from typing import Any

import pytest

Make = Callable[..., Any]


def noisy(cell: int, seeds: int) -> list[float]:
    draw = random.Random(cell)
    return [5 + cell / 10 + draw.gauss(0, 0.05) for _ in range(seeds)]


def every(comparison: Any) -> str:
    return "\n".join(note.text for note in comparison.notes)


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (2, "with 5 seeds no test without that (sign flips, Wilcoxon) has a p below 0.0625"),
        (2, "to reach 0.05 it takes 6 seeds."),
        (21, "to reach 0.05 it takes 6 seeds, 14 where 210 comparisons are corrected together."),
    ],
)
def test_what_so_many_seeds_cannot_show(
    make_runs: Make, analysed: Make, cells: int, said: str
) -> None:
    for cell in range(cells):
        make_runs(f"cell{cell}", noisy(cell, 5))
    assert said in every(analysed())


def test_nothing_of_that_where_there_are_seeds_enough(make_runs: Make, analysed: Make) -> None:
    for cell in range(2):
        make_runs(f"cell{cell}", noisy(cell, 6))
    said = every(analysed())
    assert "Wilcoxon" not in said
    assert "it rests on" not in said


def test_a_named_baseline_has_fewer_comparisons(make_runs: Make, analysed: Make) -> None:
    for cell in range(4):
        make_runs(f"cell{cell}", noisy(cell, 4))
    assert "for all 6 pairs of rows, since the data chose the baseline" in every(analysed())
    named = every(analysed(baseline="cell2"))
    assert "corrected (Holm) for 3 comparisons, and an interval" in named
