"""Lyapunov exponents, spectral radius, rank and memory capacity, where they are known."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from unrolled.cells.base import Cell, State
from unrolled.cells.lru import LRU
from unrolled.diagnostics.dynamics import (
    dynamics,
    effective_rank,
    jacobian,
    lyapunov_exponents,
    memory_capacity,
)
from unrolled.diagnostics.trajectory import CellTrace, follow
from unrolled.models.model import RecurrentModel

SIZE = 5
Make = Callable[..., RecurrentModel]


class Linear(Cell):
    """h_t = A h_{t-1} + x_t."""

    matrix = torch.eye(SIZE, dtype=torch.float64)

    def project(self, x: Tensor) -> Tensor:
        return x[..., :SIZE]

    def step(self, z: Tensor, state: State) -> State:
        return (state[0] @ self.matrix.T + z,)

    def reset_parameters(self) -> None:
        """It has none."""


class Unstable(Linear):
    """Python's control flow in a step, and a derivative that is infinite at zero."""

    def step(self, z: Tensor, state: State) -> State:
        if bool((state[0] == 0).all()):
            return (state[0] + z,)
        return (torch.sqrt((state[0] - state[0].detach()).abs()) + z,)


class Delay(Linear):
    """A shift register of the input's first number: it holds ``SIZE`` of them and no more."""

    def step(self, z: Tensor, state: State) -> State:
        return (torch.cat([z[:, :1], state[0][:, :-1]], -1),)


def traced(model: RecurrentModel, time: int = 400, sequences: int = 3) -> CellTrace:
    tokens = torch.randint(7, (time, sequences), generator=torch.Generator().manual_seed(1))
    return follow(model, tokens)[1][0]


def with_matrix(make_model: Make, matrix: Tensor) -> RecurrentModel:
    model = make_model(Linear, hidden=SIZE)
    model.recurrence.cells[0].matrix = matrix
    return model


def test_an_orthogonal_recurrence_keeps_every_direction(make_model: Make) -> None:
    rotation = torch.linalg.qr(torch.randn(SIZE, SIZE, dtype=torch.float64)).Q
    trace = traced(with_matrix(make_model, rotation))
    assert lyapunov_exponents(trace, 0, 400, 3) == pytest.approx(0, abs=1e-12)
    of = dynamics(trace)
    assert of.spectral_radius == pytest.approx(1)


def test_a_linear_map_has_the_logarithms_of_its_eigenvalues(make_model: Make) -> None:
    torch.manual_seed(3)
    values = torch.tensor([1.1, 0.9, 0.5, -0.3, 0.05], dtype=torch.float64)
    base = torch.randn(SIZE, SIZE, dtype=torch.float64)
    matrix = base @ values.diag() @ torch.linalg.inv(base)
    trace = traced(with_matrix(make_model, matrix))
    torch.testing.assert_close(jacobian(trace, 7)[0], matrix)
    found = lyapunov_exponents(trace, 0, 400, 3, aligning=200)
    assert found == pytest.approx(values.abs().log().numpy(), abs=1e-6)
    assert dynamics(trace).spectral_radius == pytest.approx(1.1)


def test_a_linear_unit_s_exponents_are_its_decay(make_model: Make) -> None:
    model = make_model("lru")
    cell = model.recurrence.cells[0]
    assert isinstance(cell, LRU)
    # Well apart: the directions of two units turn to their places by the ratio of their decays.
    cell.nu_log.copy_(torch.linspace(0.05, 1.2, 8).log())
    found = lyapunov_exponents(traced(model), 0, 400, 3, count=16, aligning=200)
    # A complex unit is a plane that turns and shrinks.
    expected = np.sort(np.repeat(-np.exp(cell.nu_log.numpy()), 2))[::-1]
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", ["lstm", "gru", "lstm_mogrifier", "slstm", "qrnn"])
def test_the_jacobian_is_that_of_finite_differences(name: str, make_model: Make) -> None:
    trace = traced(make_model(name, zoneout=0.2), time=6)
    found = jacobian(trace, 4)[0]
    old = [part[:1].detach() for part in trace.states[4]]
    widths = [part.shape[-1] for part in old]
    point = torch.cat(old, -1)

    def step(moved: Tensor) -> Tensor:
        return torch.cat(trace.step(trace.z[4, :1], moved.split(widths, -1)), -1)[0]

    for column in range(sum(widths)):
        by = torch.zeros_like(point)
        by[0, column] = 1e-6
        difference = (step(point + by) - step(point - by)) / 2e-6
        torch.testing.assert_close(found[:, column], difference, rtol=1e-4, atol=1e-7)


def test_a_jacobian_that_is_not_finite_is_said(make_model: Make) -> None:
    trace = traced(make_model(Unstable, hidden=SIZE), time=30)
    with pytest.raises(FloatingPointError, match="Jacobian of Unstable's step"):
        dynamics(trace)


def test_effective_rank() -> None:
    torch.manual_seed(1)
    white = torch.linalg.qr(torch.randn(100, 6, dtype=torch.float64)).Q
    white = torch.linalg.qr(white - white.mean(0)).Q
    assert effective_rank(white) == pytest.approx(6)
    assert effective_rank(white[:, :1] * torch.ones(4, dtype=torch.float64)) == pytest.approx(1)
    assert effective_rank(torch.ones(5, 3)) == 0


def test_a_shift_register_remembers_as_many_inputs_as_it_holds(make_model: Make) -> None:
    model = make_model(Delay, hidden=SIZE)
    torch.manual_seed(1)
    inputs = torch.zeros(500, 6, dtype=torch.float64)
    inputs[:, 0] = torch.randn(500, dtype=torch.float64)
    shares = memory_capacity(model, inputs, tokens=3000, lags=20)
    # The present input is the register's first.
    assert shares[: SIZE - 1] == pytest.approx(1, abs=1e-6)
    assert shares[SIZE - 1 :].max() < 0.05
    assert not memory_capacity(model, torch.ones_like(inputs), tokens=3000, lags=20).any()
