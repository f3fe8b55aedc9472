from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import expit

from unrolled.cells.lstm_mogrifier import LSTMMogrifier
from unrolled.errors import ConfigError


@pytest.mark.parametrize("rank", [None, 2])
@pytest.mark.parametrize("rounds", [1, 2, 5])
def test_one_step_is_the_published_equations(
    compare_with_equations: Callable[..., None], rounds: int, rank: int | None
) -> None:
    def matrix(p: Any, number: int) -> Any:
        place = f"modulations.{number - 1}"
        if rank is None:
            return p[f"{place}.weight"]
        right, left = p[f"{place}.0.weight"], p[f"{place}.1.weight"]
        assert right.shape[0] == left.shape[1] == rank
        return left @ right

    def equations(p: Any, x: Any, h: Any, c: Any) -> Any:
        xs, hs = {-1: x}, {0: h}
        for i in range(1, rounds + 1):
            if i % 2 == 1:
                xs[i] = 2 * expit(matrix(p, i) @ hs[i - 1]) * xs[i - 2]
            else:
                hs[i] = 2 * expit(matrix(p, i) @ xs[i - 1]) * hs[i - 2]
        x, h = xs[max(xs)], hs[max(hs)]
        f, i, j, o = (p[gate].W @ x + p[gate].U @ h + p[gate].b for gate in "fijo")
        new_c = expit(f) * c + expit(i) * np.tanh(j)
        return expit(o) * np.tanh(new_c), new_c

    compare_with_equations(LSTMMogrifier, equations, rounds=rounds, rank=rank)


def test_everything_starts_in_pytorchs_range() -> None:
    cell = LSTMMogrifier(30, 100, rank=20)
    for parameter in cell.parameters():
        assert 0.08 < parameter.abs().max() <= 0.1


def test_each_round_has_a_matrix_or_two_thin_ones() -> None:
    def count(**options: int) -> int:
        return sum(p.numel() for p in LSTMMogrifier(30, 100, **options).parameters())

    lstm = 4 * 100 * (30 + 100 + 1)
    assert count() == lstm + 5 * 30 * 100
    assert count(rounds=3) == lstm + 3 * 30 * 100
    assert count(rank=10) == lstm + 5 * 10 * (30 + 100)


def test_only_the_lstms_own_matrix_is_a_recurrent_weight() -> None:
    assert LSTMMogrifier.recurrent_weights == ("weight_hh",)
    x = torch.randn(3, 4)
    assert LSTMMogrifier(4, 5).project(x) is x


@pytest.mark.parametrize(
    ("options", "named"),
    [({"rounds": 0}, "cell.rounds=0: .*cell=lstm"), ({"rank": 0}, "cell.rank=0: .*null")],
)
def test_an_option_below_one_is_refused(options: dict[str, int], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        LSTMMogrifier(4, 5, **options)
