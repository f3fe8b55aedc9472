from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import expit

from unrolled.cells.gru import GRU


def test_one_step_resets_after_the_product(
    compare_with_equations: Callable[..., None],
) -> None:
    def equations(p: Any, x: Any, h: Any) -> Any:
        r, z = (expit(gate.W @ x + gate.b + gate.U @ h + gate.c) for gate in (p["r"], p["z"]))
        a = p["n"]
        n = np.tanh(a.W @ x + a.b + r * (a.U @ h + a.c))
        return ((1 - z) * n + z * h,)

    compare_with_equations(GRU, equations)
