from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.special import expit

from unrolled.cells.lstm_layernorm import LSTMLayerNorm


def normalized(a: Any, alpha: Any, beta: Any = 0.0) -> Any:
    return alpha * (a - a.mean()) / np.sqrt(a.var() + 1e-5) + beta


def test_one_step_is_the_published_equations(
    compare_with_equations: Callable[..., None],
) -> None:
    def equations(p: Any, x: Any, h: Any, c: Any) -> Any:
        from_h = normalized(np.concatenate([p[gate].U @ h for gate in "fiog"]), p["alpha_1"])
        from_x = normalized(np.concatenate([p[gate].W @ x for gate in "fiog"]), p["alpha_2"])
        b = np.concatenate([p[gate].b for gate in "fiog"])
        f, i, o, g = np.split(from_h + from_x + b, 4)
        new_c = expit(f) * c + expit(i) * np.tanh(g)
        return expit(o) * np.tanh(normalized(new_c, p["alpha_3"], p["beta_3"])), new_c

    compare_with_equations(LSTMLayerNorm, equations)


def test_gains_start_at_one_and_biases_at_zero() -> None:
    cell = LSTMLayerNorm(30, 100)
    for name, parameter in cell.named_parameters():
        if name.startswith("alpha"):
            assert torch.equal(parameter, torch.ones_like(parameter))
        elif name.startswith("weight"):
            assert 0.09 < parameter.abs().max() <= 0.1
        else:
            assert not parameter.any()
    expected = 4 * 100 * (30 + 100) + (400 + 400 + 100) + (400 + 100)
    assert sum(p.numel() for p in LSTMLayerNorm(30, 100).parameters()) == expected


def test_neither_input_nor_weights_are_seen_in_scale() -> None:
    torch.manual_seed(0)
    cell = LSTMLayerNorm(4, 5).double()
    x = 100 * torch.randn(3, 4, dtype=torch.float64)
    torch.testing.assert_close(cell.project(10 * x), cell.project(x), rtol=0, atol=1e-6)
