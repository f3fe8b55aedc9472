"""One cell for each fault; each is refused with its reason."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.cell_checks.soundness import require_sound
from unrolled.cells.base import Cell, State
from unrolled.config.locations import config_directory
from unrolled.errors import CellError

CELLS = sorted(path.stem for path in (config_directory() / "cell").glob("*.yaml"))
CELLS.remove("custom")
Fixture = Callable[..., Any]
ELSEWHERE = torch.randn(5, 5, dtype=torch.float64, requires_grad=True)


def applied(module: nn.Module, x: Tensor) -> Tensor:
    y: Tensor = module(x)
    return y


class Sound(Cell):
    """A small network with a memory beside its state."""

    state_names = ("h", "c")

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.W = nn.Linear(input_size, hidden_size)
        self.U = nn.Linear(hidden_size, hidden_size, bias=False)

    def project(self, x: Tensor) -> Tensor:
        return applied(self.W, x)

    def step(self, z: Tensor, state: State) -> State:
        h, c = state
        c = (c + torch.tanh(z + self.U(h))) / 2
        return torch.sin(c), c


class NaN(Sound):
    def step(self, z: Tensor, state: State) -> State:
        h, c = super().step(z, state)
        return h, torch.log(-c.square())


class NaNLater(Sound):
    """The root of a state that becomes negative, sooner or later."""

    def step(self, z: Tensor, state: State) -> State:
        h, c = state
        return super().step(z + 0 * torch.sqrt(c + 0.6), (h, c))


class NaNAtFirst(Sound):
    """Divides by a weight that starts at zero."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.scale = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(self.scale.weight)

    def step(self, z: Tensor, state: State) -> State:
        scale = self.scale.weight
        return super().step(z * scale / scale, state)


class TooFew(Sound):
    def step(self, z: Tensor, state: State) -> State:
        return super().step(z, state)[:1]


class NoTuple(Sound):
    def step(self, z: Tensor, state: State) -> State:
        return super().step(z, state)[0]  # type: ignore[return-value]


class WrongShape(Sound):
    def step(self, z: Tensor, state: State) -> State:
        h, c = super().step(z, state)
        return h, c.mean(1, keepdim=True)


class Forgetful(Sound):
    def step(self, z: Tensor, state: State) -> State:
        h, c = super().step(z, (state[0], torch.zeros_like(state[1])))
        return h, c


class Lazy(Sound):
    def step(self, z: Tensor, state: State) -> State:
        h, _ = super().step(z, state)
        return h, state[1]


class Mixing(Sound):
    def step(self, z: Tensor, state: State) -> State:
        h, c = super().step(z, state)
        return h - h.mean(0), c


class MixingProjection(Sound):
    def project(self, x: Tensor) -> Tensor:
        z = applied(self.W, x)
        mixed: Tensor = z / z.norm(dim=-2, keepdim=True)
        return mixed


class MixingOutput(Sound):
    def output(self, z: Tensor, state: State) -> Tensor:
        return state[0] - state[0].mean(-2, keepdim=True)


class InPlaceState(Sound):
    def step(self, z: Tensor, state: State) -> State:
        new = super().step(z, state)
        state[1].mul_(0.5)
        return new


class InPlaceInput(Sound):
    def project(self, x: Tensor) -> Tensor:
        return applied(self.W, x.mul_(1.01))


class InPlaceProjection(Sound):
    def step(self, z: Tensor, state: State) -> State:
        z += 1
        return super().step(z, state)


class HiddenInList(Sound):
    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.layers = [nn.Linear(hidden_size, hidden_size).double()]


class HiddenElsewhere(Sound):
    def step(self, z: Tensor, state: State) -> State:
        h, c = super().step(z, state)
        return F.linear(h, ELSEWHERE), c


class Random(Sound):
    def step(self, z: Tensor, state: State) -> State:
        h, c = super().step(z, state)
        return F.dropout(h, 0.5), c


class OverTime(Sound):
    def project(self, x: Tensor) -> Tensor:
        return applied(self.W, x).cumsum(0)


class Narrow(Sound):
    def output(self, z: Tensor, state: State) -> Tensor:
        return state[0][..., :2]


class Broken(Sound):
    def step(self, z: Tensor, state: State) -> State:
        return super().step(z[:, :3], state)


FAULTS: list[tuple[type[Cell], str]] = [
    (NaN, "step returns NaN in c in double precision, though inputs and weights are finite"),
    (
        NaNLater,
        r"step returns NaN in h at step \d+ in double precision, though inputs and weights",
    ),
    (NaNAtFirst, "step returns NaN in h at step 1 in single precision, though inputs and weights"),
    (TooFew, r"step returns 1 state, and state_names has 2 \(h, c\)"),
    (NoTuple, "step returns a Tensor; it must return a tuple of states"),
    (WrongShape, r"step returns c of shape \[3, 1\], and was given \[3, 5\]"),
    (Forgetful, "step forgets the state c: no output depends on it"),
    (Lazy, "step returns the state c as it was given"),
    (Mixing, "step mixes the sequences of a batch"),
    (MixingProjection, "project mixes the sequences of a batch"),
    (MixingOutput, "output mixes the sequences of a batch"),
    (InPlaceState, "step changes the state c in place"),
    (InPlaceInput, "project changes x in place"),
    (InPlaceProjection, "step changes z in place"),
    (HiddenInList, r"keeps in layers a weight of shape \[5, 5\] that is not among its parameters"),
    (HiddenElsewhere, r"uses a weight of shape \[5, 5\] that is not among its parameters"),
    (Random, "step gives another result the second time"),
    (OverTime, "project of all steps is not that of each"),
    (Narrow, r"output has shape \[3, 2\]; with output_size=5 it must be \[3, 5\]"),
    (Broken, r"\.step fails on a batch of 3 in double precision: RuntimeError: The size"),
]


@pytest.mark.parametrize(("kind", "said"), FAULTS, ids=lambda part: getattr(part, "__name__", ""))
def test_a_fault_is_refused_in_one_sentence(kind: type[Cell], said: str) -> None:
    with pytest.raises(CellError, match=f"^{kind.__name__}.*{said}") as caught:
        require_sound(kind(4, 5))
    assert "\n" not in str(caught.value)


def test_a_sound_cell_is_left_as_it_was() -> None:
    torch.manual_seed(3)
    cell = Sound(4, 5)
    before = {name: parameter.clone() for name, parameter in cell.named_parameters()}
    generator = torch.get_rng_state()
    require_sound(cell)
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(torch.equal(before[name], p) for name, p in cell.named_parameters())
    assert all(parameter.grad is None for parameter in cell.parameters())


@pytest.mark.parametrize("name", CELLS)
def test_every_cell_of_ours_is_sound(name: str, named: Fixture) -> None:
    for input_size in (3, 8):
        require_sound(named(name)(input_size, 8))


def test_there_are_twenty_one_of_ours() -> None:
    assert len(CELLS) == 21
