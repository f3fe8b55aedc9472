from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from unrolled.cells.irnn import IRNN
from unrolled.errors import ConfigError


def test_one_step_is_the_published_equation(
    compare_with_equations: Callable[..., None],
) -> None:
    def equations(p: Any, x: Any, h: Any) -> Any:
        a = p["h"]
        return (np.maximum(0.0, a.W @ x + a.b + a.U @ h + a.c),)

    compare_with_equations(IRNN, equations)


def test_it_starts_as_the_identity() -> None:
    torch.manual_seed(0)
    cell = IRNN(100, 50)
    assert torch.equal(cell.weight_hh, torch.eye(50))
    assert 0.0009 < cell.weight_ih.std() < 0.0011
    assert abs(cell.weight_ih.mean()) < 0.0001
    assert cell.bias_hh is not None
    assert not cell.bias_ih.any() and not cell.bias_hh.any()
    h = torch.rand(3, 50)
    (kept,) = cell.step(cell.project(torch.zeros(3, 100)), (h,))
    assert torch.equal(kept, h)


def test_scale_and_input_std_set_the_start() -> None:
    torch.manual_seed(0)
    cell = IRNN(100, 50, scale=0.01, input_std=0.5)
    assert torch.equal(cell.weight_hh, 0.01 * torch.eye(50))
    assert 0.48 < cell.weight_ih.std() < 0.52


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"scale": -1.0}, "cell.scale=-1.0"),
        ({"scale": float("nan")}, "cell.scale=nan"),
        ({"input_std": 0.0}, "cell.input_std=0.0"),
    ],
)
def test_a_start_that_makes_no_sense_is_refused(options: dict[str, float], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        IRNN(4, 5, **options)
