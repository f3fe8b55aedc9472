"""Equal budgets: the hidden size at which a model has so many parameters, or costs so much."""

from collections.abc import Callable

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
) -> int:
    """The hidden size whose model comes nearest to ``budget``.

    Args:
        count: the parameters, or the floating-point operations per token, of the model at a hidden
            size; it grows with it.
        tolerance: how far off the nearest may be, relative to ``budget``.
        of: what is counted, ``parameters`` or ``flops``.
        multiple: the hidden size must be a multiple of this.

    Raises:
        BudgetError: the smallest model is larger, no size is large enough, or the nearest one is
            further off than the tolerance; the message names the budgets that can be met.
    """
    key, unit = f"budget.{of}={budget:,}", UNITS[of]
    counted: dict[int, int] = {}

    def cost(multiples: int) -> int:
        if multiples not in counted:
            counted[multiples] = count(multiples * multiple)
        return counted[multiples]

    if cost(1) > budget * (1 + tolerance):
        units = "one hidden unit" if multiple == 1 else f"{multiple} hidden units"
        raise BudgetError(
            f"{key} is too small: with {units} the model has {cost(1):,} {unit} already; ask for "
            "more, or lower model.embedding_size or the vocabulary"
        )
    high = 1
    while cost(high) < budget:
        high *= 2
        if high * multiple > LARGEST:
            largest = high // 2 * multiple
            raise BudgetError(
                f"{key} is too large: a hidden size of {largest:,} has {cost(high // 2):,} "
                f"{unit}; ask for less, or for more model.layers"
            )
    low = max(1, high // 2)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if cost(middle) < budget else (low, middle)
    best = min((low, high), key=lambda multiples: abs(cost(multiples) - budget))
    error = abs(cost(best) - budget) / budget
    if error > tolerance:
        raise BudgetError(
            f"{key} cannot be met within {tolerance:.1%}: hidden size {low * multiple} has "
            f"{cost(low):,} {unit} and {high * multiple} has {cost(high):,} (the nearest is "
            f"{error:.1%} off); ask for one of these, or set budget.tolerance"
        )
    return best * multiple
