"""Equal budgets: the hidden size at which a model has a given number of parameters."""

from collections.abc import Callable

from unrolled.errors import BudgetError

LARGEST = 1 << 20


def solve_hidden_size(count: Callable[[int], int], parameters: int, tolerance: float) -> int:
    """The hidden size whose model comes nearest to ``parameters``.

    Args:
        count: the parameters of the model at a hidden size; it grows with it.
        tolerance: how far off the nearest may be, relative to ``parameters``.

    Raises:
        BudgetError: the smallest model is larger, no size is large enough, or the nearest one is
            further off than the tolerance; the message names the budgets that can be met.
    """
    smallest = count(1)
    if smallest > parameters * (1 + tolerance):
        raise BudgetError(
            f"budget.parameters={parameters:,} is too small: with one hidden unit the model has "
            f"{smallest:,} already; ask for more, or lower model.embedding_size or the vocabulary"
        )
    high = 1
    while count(high) < parameters:
        high *= 2
        if high > LARGEST:
            raise BudgetError(
                f"budget.parameters={parameters:,} is too large: a hidden size of {LARGEST:,} has "
                f"{count(LARGEST):,}; ask for less, or for more model.layers"
            )
    low = max(1, high // 2)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) < parameters else (low, middle)
    best = min((low, high), key=lambda size: abs(count(size) - parameters))
    error = abs(count(best) - parameters) / parameters
    if error > tolerance:
        raise BudgetError(
            f"budget.parameters={parameters:,} cannot be met within {tolerance:.1%}: hidden size "
            f"{low} has {count(low):,} and {high} has {count(high):,} (the nearest is "
            f"{error:.1%} off); ask for one of these, or set budget.tolerance"
        )
    return best
