from collections.abc import Callable
from typing import Any

import numpy as np

from unrolled.cells.rnn_relu import RnnRelu


def test_one_step_is_the_published_equation(
    compare_with_equations: Callable[..., None],
) -> None:
    def equations(p: Any, x: Any, h: Any) -> Any:
        a = p["h"]
        return (np.maximum(0.0, a.W @ x + a.b + a.U @ h + a.c),)

    compare_with_equations(RnnRelu, equations)
