"""Faults that hide from a plain look, and cells that look faulty and are not."""

from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.cell_checks.soundness import require_sound
from unrolled.cells.base import Cell, State
from unrolled.cells.gated import GatedCell
from unrolled.cells.linear import LinearCell
from unrolled.errors import CellError


class Sound(GatedCell):
    """h_t = tanh(W x_t + b + U h_{t-1})"""

    def step(self, z: Tensor, state: State) -> State:
        return (torch.tanh(z + self.recur(state[0])),)


class Two(Sound):
    state_names: ClassVar[tuple[str, ...]] = ("h", "c")


class CountsInVain(Two):
    def step(self, z: Tensor, state: State) -> State:
        (h,) = super().step(z, state)
        return h, state[1] + z


class NeverRenewsC(Two):
    def step(self, z: Tensor, state: State) -> State:
        h, c = state
        return torch.tanh(z + self.recur(h) + c), c


class AddsUpRows(Sound):
    """The first row of a batch is none the wiser."""

    def step(self, z: Tensor, state: State) -> State:
        return super().step(z.cumsum(0), state)


class AddsUpOutputs(Sound):
    """One step alone does not show it."""

    def output(self, z: Tensor, state: State) -> Tensor:
        return state[0].cumsum(0) if state[0].dim() > 2 else state[0]


class WritesProjection(Sound):
    def step(self, z: Tensor, state: State) -> State:
        z += self.recur(state[0])
        return (torch.tanh(z),)


class WritesNewState(Sound):
    def output(self, z: Tensor, state: State) -> Tensor:
        return state[0].tanh_()


class DropsOutput(Sound):
    def output(self, z: Tensor, state: State) -> Tensor:
        return F.dropout(state[0], 0.5, self.training)


class Remembers(Sound):
    last: Tensor | None = None

    def step(self, z: Tensor, state: State) -> State:
        before, self.last = self.last, z
        return super().step(z if before is None else z + before, state)


class WrongType(Sound):
    def initial_state(self, batch_size: int, like: Tensor) -> State:
        return (torch.zeros(batch_size, self.hidden_size),)


class Linear(LinearCell):
    """s_t = σ(V x_t) s_{t-1} + W x_t"""

    recurrent_weights = ()

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.read = nn.Linear(input_size, 2 * hidden_size)

    def project(self, x: Tensor) -> Tensor:
        return F.linear(x, self.read.weight, self.read.bias)

    def coefficients(self, z: Tensor) -> tuple[Tensor, Tensor]:
        a, b = z.chunk(2, -1)
        return torch.sigmoid(a), b


class NotItsCoefficients(Linear):
    def step(self, z: Tensor, state: State) -> State:
        a, b = self.coefficients(z)
        return (a * state[0] + 2 * b,)


@pytest.mark.parametrize(
    ("cell", "sentence"),
    [
        (CountsInVain, "step forgets the state c: no output depends on it"),
        (NeverRenewsC, "step returns the state c as it was given"),
        (AddsUpRows, "step mixes the sequences of a batch"),
        (AddsUpOutputs, "output of all steps is not that of each"),
        (WritesProjection, "step changes z in place; make a new tensor"),
        (WritesNewState, "output changes the state h in place; make a new tensor"),
        (DropsOutput, "output gives another result the second time"),
        (Remembers, "step gives another result the second time"),
        (WrongType, "initial_state gives h in float32 beside an input in float64"),
        (NotItsCoefficients, r"step is not a \* s \+ b with what coefficients gives"),
    ],
)
def test_a_fault_that_hides_is_found(cell: type[Cell], sentence: str) -> None:
    with pytest.raises(CellError, match=f"^{cell.__name__}: {sentence}"):
        require_sound(cell(3, 4))


class HardUnits(Sound):
    """A small change of the state changes nothing."""

    def step(self, z: Tensor, state: State) -> State:
        return (torch.sign(z + self.recur(state[0])),)


class Seldom(Two):
    """c is renewed at every eighth step alone, which t counts."""

    state_names = ("h", "c", "t")

    def step(self, z: Tensor, state: State) -> State:
        h, c, t = state
        t = t + 1
        c = torch.where(t % 8 == 0, h, c)
        return torch.tanh(z + self.recur(h) + c), c, t


class Delays(Cell):
    """The input reaches the output three steps later, from state to state."""

    state_names = ("a", "b", "c")
    recurrent_weights = ()

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.read = nn.Linear(input_size, hidden_size)

    def project(self, x: Tensor) -> Tensor:
        return F.linear(x, self.read.weight, self.read.bias)

    def step(self, z: Tensor, state: State) -> State:
        a, b, c = state
        return a / 2 + b, c, z


@pytest.mark.parametrize("cell", [Linear, HardUnits, Seldom, Delays])
def test_what_is_unusual_and_sound_is_let_through(cell: type[Cell]) -> None:
    for seed in range(40):
        torch.manual_seed(seed)
        require_sound(cell(3, 4))


def test_the_generators_of_gpus_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def seeded(*_: Any) -> None:
        raise AssertionError("a GPU was given another seed")

    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded)
    require_sound(Sound(3, 4))
