import re
from collections.abc import Callable, Iterator

import pytest

from unrolled.errors import BudgetError
from unrolled.models.budget import solve_hidden_size


def square(size: int) -> int:
    return 100 + size * size


def test_a_size_that_meets_the_budget_exactly_is_found() -> None:
    for size in (1, 2, 3, 17, 64, 65, 1000):
        assert solve_hidden_size(square, square(size), 0.0) == size


def test_the_nearest_size_within_the_tolerance_is_taken() -> None:
    assert solve_hidden_size(square, 100 + 400 + 18, 0.05) == 20
    assert solve_hidden_size(square, 100 + 441 - 18, 0.05) == 21


def test_the_search_counts_a_few_models_only() -> None:
    asked: list[int] = []

    def count(size: int) -> int:
        asked.append(size)
        return 3 * size * (64 + size + 2)

    solve_hidden_size(count, 1_000_000, 0.01)
    assert len(asked) <= 10


@pytest.mark.parametrize(
    "cost",
    [
        lambda size: 7 * size,
        lambda size: size**3,
        lambda size: 2 ** min(size, 60) + size,
        lambda size: 1_000 * (size > 300) + size,
        lambda size: 10 * round(size**0.5) + size,
    ],
    ids=["line", "cube", "exponential", "step", "root"],
)
def test_whatever_the_shape_of_the_cost_the_nearest_size_is_found(
    cost: Callable[[int], int],
) -> None:
    for budget in (30, 299, 500, 1_299, 2_000):
        nearest = min(range(1, 2_001), key=lambda size: (abs(cost(size) - budget), size))
        assert solve_hidden_size(cost, budget, 1e9) == nearest


def test_a_budget_below_one_unit_is_refused() -> None:
    with pytest.raises(BudgetError, match=r"budget.parameters=50 is too small.*101"):
        solve_hidden_size(square, 50, 0.01)


def test_a_budget_above_every_size_is_refused() -> None:
    with pytest.raises(BudgetError, match=r"too large.*model\.layers"):
        solve_hidden_size(lambda size: size, 10**9, 0.01)


def test_a_budget_between_two_sizes_is_refused_with_both() -> None:
    with pytest.raises(BudgetError) as caught:
        solve_hidden_size(square, 107, 0.001)
    message = str(caught.value)
    assert numbers(message) >= {2, square(2), 3, square(3)}
    assert "budget.tolerance" in message


def test_sizes_are_multiples_where_the_cell_needs_them() -> None:
    assert solve_hidden_size(square, square(20), 0.0, multiple=4) == 20
    assert solve_hidden_size(square, square(21), 0.1, multiple=4) == 20
    with pytest.raises(BudgetError, match=r"with 4 hidden units the model has 116 parameters"):
        solve_hidden_size(square, 50, 0.01, multiple=4)


def dented(size: int) -> int:
    """``square``, but for the size 12, which has what 7 or 8 would."""
    return 150 + 8 if size == 12 else square(size)


def test_a_size_without_projection_is_taken_only_where_it_is_nearest() -> None:
    for budget in range(101, 500):
        best = min(abs(dented(size) - budget) for size in range(1, 30))
        found = solve_hidden_size(dented, budget, 1.0, without_projection=12)
        assert abs(dented(found) - budget) == best


def test_a_size_without_projection_is_named_where_it_is_among_the_nearest() -> None:
    with pytest.raises(BudgetError, match=r"size 12 has 158 parameters and 8 has 164"):
        solve_hidden_size(dented, 161, 0.001, without_projection=12)
    # No multiple of 5, so no size at all.
    assert solve_hidden_size(dented, 158, 1.0, multiple=5, without_projection=12) == 5


def test_a_budget_of_arithmetic_is_named_as_such() -> None:
    with pytest.raises(BudgetError, match=r"budget\.flops=50 is too small.*101 FLOPs per token"):
        solve_hidden_size(square, 50, 0.01, of="flops")


def numbers(text: str) -> set[int]:
    def each() -> Iterator[int]:
        for digits in re.findall(r"\d[\d,]*", text):
            yield int(digits.replace(",", ""))

    return set(each())
