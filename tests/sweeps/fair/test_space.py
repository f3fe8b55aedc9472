"""The points that a fair study tries."""

import pytest

from unrolled.config.compose import compose_checked
from unrolled.config.groups import config_groups
from unrolled.sweeps.fair.space import Dimension, points


def dimensions(*lines: str) -> list[Dimension]:
    with config_groups() as groups:
        base = compose_checked(groups, [])
        return [Dimension.of(one, base) for one in groups.parse(lines)]


def values(rows: list[list[str]], key: str) -> list[float]:
    return [float(line.partition("=")[2]) for row in rows for line in row if line.startswith(key)]


@pytest.mark.parametrize("sampler", ["quasi_random", "random"])
def test_points_lie_in_their_space_and_fewer_are_the_first_of_more(sampler: str) -> None:
    space = dimensions(
        "optimizer.lr=tag(log, interval(1e-4, 1e-1))",
        "model.hidden_size=interval(3, 9)",
        "model.initialization=default,orthogonal",
    )
    rows = points(space, 200, sampler, 1, 3)
    rates, sizes = values(rows, "optimizer.lr"), values(rows, "model.hidden_size")
    assert min(rates) >= 1e-4
    assert max(rates) <= 1e-1
    # On a logarithmic scale half are below the middle.
    assert sum(rate < 10**-2.5 for rate in rates) == pytest.approx(100, abs=20)
    assert set(sizes) == {3, 4, 5, 6, 7, 8, 9}
    assert {row[2] for row in rows} == {
        "model.initialization=default",
        "model.initialization=orthogonal",
    }
    assert points(space, 5, sampler, 1, 3) == rows[:5]
    assert points(space, 5, sampler, 2, 3) != rows[:5]
    # What two searches share they try alike, whatever one of them searches besides.
    assert [row[:1] for row in rows[:5]] == points(space[:1], 5, sampler, 1, 3)


def test_quasi_random_points_leave_no_gap() -> None:
    (space,) = [dimensions("model.dropout=interval(0.0, 1.0)")]
    found = sorted(values(points(space, 8, "quasi_random", 1, 1), "model.dropout"))
    assert [int(8 * value) for value in found] == list(range(8))


def test_a_grid_has_every_point() -> None:
    space = dimensions("optimizer.lr=0.1,0.2", "model.layers=range(1,4)")
    rows = points(space, 1, "grid", 1, 2)
    assert len(rows) == 6
    assert ["optimizer.lr=0.2", "model.layers=3"] in rows
