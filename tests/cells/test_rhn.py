import numpy as np
import pytest
import torch
from scipy.special import expit

from unrolled.cells.base import State
from unrolled.cells.rhn import RHN
from unrolled.errors import ConfigError


@pytest.mark.parametrize("depth", [1, 3])
def test_the_steps_are_the_published_equations(depth: int) -> None:
    torch.manual_seed(3)
    cell = RHN(4, 5, depth=depth, initial_range=0.9).double()
    x = torch.randn(6, 4, dtype=torch.float64)
    s = torch.randn(5, dtype=torch.float64)
    parameters = {name: value.detach().numpy() for name, value in cell.named_parameters()}
    W_H, W_T = parameters["weight_ih"][:5], parameters["weight_ih"][5:]
    biases = [parameters["bias_ih"]] + [parameters[f"bias_hh_{i}"] for i in range(1, depth)]
    expected = s.numpy()
    state: State = (s[None],)
    for now in x:
        with torch.no_grad():
            state = cell.step(cell.project(now[None]), state)
        for level in range(depth):
            R = parameters[f"weight_hh_{level}"]
            first = level == 0
            h = np.tanh(first * (W_H @ now.numpy()) + R[:5] @ expected + biases[level][:5])
            t = expit(first * (W_T @ now.numpy()) + R[5:] @ expected + biases[level][5:])
            expected = h * t + expected * (1 - t)
        np.testing.assert_allclose(state[0][0].numpy(), expected, rtol=0, atol=1e-12)


def test_each_micro_step_has_a_recurrent_matrix_that_is_named() -> None:
    cell = RHN(4, 5, depth=2)
    assert cell.recurrent_weights == ("weight_hh_0", "weight_hh_1")
    assert all(getattr(cell, name).shape == (10, 5) for name in cell.recurrent_weights)
    assert sum(p.numel() for p in RHN(4, 5, depth=2).parameters()) == 2 * (
        5 * 4 + 2 * 5 * 5 + 2 * 5
    )


def test_only_the_transform_gates_start_shut() -> None:
    cell = RHN(40, 50, depth=3, transform_bias=-4.0, initial_range=0.1)
    for name, parameter in cell.named_parameters():
        if name.startswith("bias"):
            assert torch.equal(parameter[50:], torch.full((50,), -4.0))
        drawn = parameter[:50] if name.startswith("bias") else parameter
        assert 0.09 < drawn.abs().max() <= 0.1


@pytest.mark.parametrize("option", [{"depth": 0}, {"initial_range": 0.0}])
def test_an_option_out_of_range_is_refused(option: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=f"cell.{next(iter(option))}"):
        RHN(4, 5, **option)
