"""The checks of ``unrolled check``, one by one: who passes them, and what each finds."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from unrolled.cell_checks.examination import examine
from unrolled.cell_checks.measurement import Size
from unrolled.cells.base import Cell, State
from unrolled.cells.gated import GatedCell
from unrolled.config.locations import config_directory

CELLS = sorted(path.stem for path in (config_directory() / "cell").glob("*.yaml"))
CELLS.remove("custom")
Fixture = Callable[..., Any]


class Sound(GatedCell):
    """h_t = tanh(W x_t + b + U h_{t-1})"""

    def step(self, z: Tensor, state: State) -> State:
        return (torch.tanh(z + self.recur(state[0])),)


class Mixing(Sound):
    def step(self, z: Tensor, state: State) -> State:
        (h,) = super().step(z, state)
        return (h - h.mean(0),)


class Memory(Cell):
    """A small network with a memory beside its state."""

    state_names = ("h", "c")

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.W = nn.Linear(input_size, hidden_size)
        self.U = nn.Linear(hidden_size, hidden_size, bias=False)

    def project(self, x: Tensor) -> Tensor:
        z: Tensor = self.W(x)
        return z

    def step(self, z: Tensor, state: State) -> State:
        h, c = state
        c = (c + torch.tanh(z + self.U(h))) / 2
        return torch.sin(c), c


@pytest.mark.parametrize("name", CELLS)
def test_our_own_cells_pass_the_whole_examination(name: str, named: Fixture) -> None:
    multiple = 4 if name == "slstm" else 1
    findings = [*examine(named(name), Size(16, 2, 8, 1), multiple=multiple)]
    assert not [finding for finding in findings if finding.passed is False]
    checks = {finding.check for finding in findings}
    assert {"structure", "carried state", "unequal lengths", "speed"} <= checks
    assert any("eager" in check for check in checks)


def test_the_examination_ends_with_a_fault_of_structure() -> None:
    findings = [*examine(Mixing, Size(8, 2, 4, 1))]
    assert [finding.passed for finding in findings] == [False]
    assert "Mixing: step mixes" in findings[0].detail


class Dead(Memory):
    """Has a weight that nothing reads."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.unused = nn.Linear(3, 3)


class WrongGradient(Memory):
    """Computes one thing and differentiates another."""

    def step(self, z: Tensor, state: State) -> State:
        h, c = super().step(z, state)
        return h, c.detach() + 0.5 * (c - c.detach())


class Exploding(Memory):
    def step(self, z: Tensor, state: State) -> State:
        h, c = state
        return 3 * h + z + self.U(c), 3 * c + h


class WrongKernel(Memory):
    def native(
        self, x: Tensor, state: State, batch_sizes: Tensor | None = None
    ) -> tuple[Tensor, State]:
        z = self.project(x)
        return z, (z[-1], z[-1])


@pytest.mark.parametrize(
    ("kind", "check", "said"),
    [
        (Dead, "parameters", "no gradient reaches unused.weight, unused.bias"),
        (WrongGradient, "gradients against finite differences", "Jacobian mismatch"),
        (Exploding, "1,000 steps", "the output is infinite from step "),
        (WrongKernel, "native backend against the loop", "differ by"),
    ],
)
def test_the_examination_finds_what_structure_does_not_show(
    kind: type[Cell], check: str, said: str
) -> None:
    found = {finding.check: finding for finding in examine(kind, Size(8, 2, 4, 1))}
    assert found["structure"].passed
    assert found[check].passed is False
    assert said in found[check].detail


class Frozen(Sound):
    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.weight_hh.requires_grad_(False)


class LearnsItsStart(Sound):
    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.start = nn.Parameter(torch.zeros(hidden_size))

    def initial_state(self, batch_size: int, like: Tensor) -> State:
        return (self.start.expand(batch_size, -1),)


class WithoutParameters(Cell):
    recurrent_weights = ()

    def project(self, x: Tensor) -> Tensor:
        return x.mean(-1, keepdim=True).expand(*x.shape[:-1], self.hidden_size)

    def step(self, z: Tensor, state: State) -> State:
        return (state[0] / 2 + z,)


@pytest.mark.parametrize("cell", [Frozen, LearnsItsStart, WithoutParameters])
def test_the_examination_passes_what_is_unusual_and_sound(cell: type[Cell]) -> None:
    failed = [found for found in examine(cell, Size(8, 2, 3, 1)) if found.passed is False]
    assert not failed


class BrokenKernel(Sound):
    def native(
        self, x: Tensor, state: State, batch_sizes: Tensor | None = None
    ) -> tuple[Tensor, State]:
        raise ValueError("no kernel\nafter all")


def test_an_examination_goes_on_where_a_cell_raises() -> None:
    found = {finding.check: finding for finding in examine(BrokenKernel, Size(8, 2, 3, 1))}
    kernel = found["native backend against the loop"]
    assert kernel.passed is False
    assert re.fullmatch(r"ValueError: no kernel \(.*test_examination\.py:\d+\)", kernel.detail)
    assert found["eager backend against the loop"].passed


class LeavesTorch(Sound):
    def step(self, z: Tensor, state: State) -> State:
        a = z + self.recur(state[0])
        return (torch.from_numpy(a.detach().numpy()).tanh(),)


def test_a_step_without_gradients_is_told_which_weights_it_does_not_train() -> None:
    found = {finding.check: finding for finding in examine(LeavesTorch, Size(8, 2, 3, 1))}
    assert "no gradient reaches weight_ih, weight_hh" in found["parameters"].detail
    assert "leaves autograd" in found["gradients against finite differences"].detail
