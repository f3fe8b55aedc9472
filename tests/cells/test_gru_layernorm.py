from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.special import expit

from unrolled.cells.gru_layernorm import GRULayerNorm


def normalized(a: Any, alpha: Any, beta: Any = 0.0) -> Any:
    return alpha * (a - a.mean()) / np.sqrt(a.var() + 1e-5) + beta


def test_one_step_is_the_published_equations(
    compare_with_equations: Callable[..., None],
) -> None:
    def equations(p: Any, x: Any, h: Any) -> Any:
        from_h = normalized(np.concatenate([p[gate].U @ h for gate in "zr"]), p["alpha_1"])
        from_x = normalized(np.concatenate([p[gate].W @ x for gate in "zr"]), p["alpha_2"])
        b = np.concatenate([p["z"].b, p["r"].b])
        z, r = np.split(expit(from_h + from_x + b), 2)
        in_new = normalized(p["n"].W @ x, p["alpha_3"], p["n"].b)
        new = np.tanh(in_new + r * normalized(p["n"].U @ h, p["alpha_4"], p["beta_4"]))
        return ((1 - z) * h + z * new,)

    compare_with_equations(GRULayerNorm, equations)


def test_gains_start_at_one_and_biases_at_zero() -> None:
    cell = GRULayerNorm(30, 100)
    for name, parameter in cell.named_parameters():
        if name.startswith("alpha"):
            assert torch.equal(parameter, torch.ones_like(parameter))
        elif name.startswith("weight"):
            assert 0.09 < parameter.abs().max() <= 0.1
        else:
            assert not parameter.any()
    expected = 3 * 100 * (30 + 100) + (200 + 200 + 100 + 100) + (200 + 100 + 100)
    assert sum(p.numel() for p in GRULayerNorm(30, 100).parameters()) == expected
