"""Equal budgets: the hidden size at which a model has so many parameters, or costs so much."""

from collections.abc import Callable
from math import sqrt

from unrolled.errors import BudgetError

LARGEST = 1 << 20

# What may be budgeted, and how it is counted.
UNITS = {"parameters": "parameters", "flops": "FLOPs per token"}


def solve_hidden_size(
    count: Callable[[int], int],
    budget: int,
    tolerance: float,
    *,
    of: str = "parameters",
    multiple: int = 1,
    without_projection: int | None = None,
) -> int:
    """The hidden size whose model comes nearest to ``budget``.

    Args:
        count: the parameters, or the floating-point operations per token, of the model at a hidden
            size; it grows with it, at every size but ``without_projection``.
        tolerance: how far off the nearest may be, relative to ``budget``.
        of: what is counted, ``parameters`` or ``flops``.
        multiple: the hidden size must be a multiple of this.
        without_projection: the size at which a tied head needs no projection, so that the count is
            below what the sizes around it suggest.

    Raises:
        BudgetError: the smallest model is larger, no size is large enough, or the nearest one is
            further off than the tolerance; the message names the budgets that can be met.
    """
    key, unit = f"budget.{of}={budget:,}", UNITS[of]
    counted: dict[int, int] = {}

    def cost(size: int) -> int:
        if size not in counted:
            counted[size] = count(size)
        return counted[size]

    sizes = range(multiple, LARGEST + 1, multiple)
    special = without_projection if without_projection in sizes else None

    def at(index: int) -> int:
        """The sizes at which the count only grows, in order."""
        size = sizes[index]
        return size if special is None or size < special else size + multiple

    low = high = 0
    while cost(at(high)) < budget:
        if high == len(sizes) - 1:
            raise BudgetError(
                f"{key} is too large: a hidden size of {at(high):,} has {cost(at(high)):,} "
                f"{unit}; ask for less, or for more model.layers"
            )
        low, high = high, min(16 * high + 16, len(sizes) - 1)
    guesses = 0
    while high - low > 1:
        guesses += 1
        # Every third halves what is left, whatever the cost's shape.
        if guesses % 3:
            # Most costs grow as the square of the size.
            below_root, root, above_root = map(sqrt, (cost(at(low)), budget, cost(at(high))))
            guess = low + round((high - low) * (root - below_root) / (above_root - below_root))
            middle = min(max(guess, low + 1), high - 1)
        else:
            middle = (low + high) // 2
        low, high = (middle, high) if cost(at(middle)) < budget else (low, middle)
    candidates = {at(low), at(high)} | ({special} if special is not None else set())
    best = min(candidates, key=lambda size: (abs(cost(size) - budget), size))
    error = abs(cost(best) - budget) / budget
    if error <= tolerance:
        return best
    below = [size for size in candidates if cost(size) < budget]
    if not below:
        units = "one hidden unit" if best == 1 else f"{best} hidden units"
        raise BudgetError(
            f"{key} is too small: with {units} the model has {cost(best):,} {unit} already; ask "
            "for more, or lower model.embedding_size or the vocabulary"
        )
    under = max(below, key=cost)
    over = min(candidates - set(below), key=cost)
    raise BudgetError(
        f"{key} cannot be met within {tolerance:.1%}: hidden size {under} has {cost(under):,} "
        f"{unit} and {over} has {cost(over):,} (the nearest is {error:.1%} off); ask for one of "
        "these, or set budget.tolerance"
    )
