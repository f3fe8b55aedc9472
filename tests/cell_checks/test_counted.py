"""Weights in every place where no parameter is looked for."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from unrolled.cell_checks.soundness import require_sound
from unrolled.cells.base import Cell, State
from unrolled.cells.gated import GatedCell
from unrolled.errors import CellError


class Sound(GatedCell):
    """h_t = tanh(W x_t + b + U h_{t-1})"""

    def step(self, z: Tensor, state: State) -> State:
        return (torch.tanh(z + self.recur(state[0])),)


class Hides(Sound):
    """Keeps a gain somewhere."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.kept: Any = self.keep(nn.Parameter(torch.ones(hidden_size)))

    def keep(self, gain: nn.Parameter) -> Any:
        raise NotImplementedError

    def gain(self) -> Tensor:
        found = self.kept
        assert isinstance(found, Tensor)
        return found

    def step(self, z: Tensor, state: State) -> State:
        return super().step(self.gain() * z, state)


class InList(Hides):
    def keep(self, gain: nn.Parameter) -> Any:
        return [gain]

    def gain(self) -> Tensor:
        return self.kept[0]  # type: ignore[no-any-return]


class InDict(Hides):
    def keep(self, gain: nn.Parameter) -> Any:
        return {"gain": gain}

    def gain(self) -> Tensor:
        return self.kept["gain"]  # type: ignore[no-any-return]


class AsTensor(Hides):
    def keep(self, gain: nn.Parameter) -> Any:
        return torch.ones(len(gain), requires_grad=True)


class InModuleOfList(Hides):
    def keep(self, gain: nn.Parameter) -> Any:
        return [nn.LayerNorm(len(gain), dtype=torch.float64)]

    def gain(self) -> Tensor:
        return self.kept[0].weight  # type: ignore[no-any-return]


class InFunction(Hides):
    def keep(self, gain: nn.Parameter) -> Any:
        return lambda: gain

    def gain(self) -> Tensor:
        return self.kept()  # type: ignore[no-any-return]


class InStart(Hides):
    def keep(self, gain: nn.Parameter) -> Any:
        return lambda: gain

    def step(self, z: Tensor, state: State) -> State:
        return Sound.step(self, z, state)

    def initial_state(self, batch_size: int, like: Tensor) -> State:
        return (self.kept().to(like).expand(batch_size, -1),)


class Constant(Hides):
    def keep(self, gain: nn.Parameter) -> Any:
        return gain.detach() / 2


class MakesLate(Sound):
    late: nn.Parameter | None

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.late = None

    def step(self, z: Tensor, state: State) -> State:
        if self.late is None:
            self.late = nn.Parameter(torch.ones_like(z[0]))
        return super().step(self.late * z, state)


@pytest.mark.parametrize(
    ("cell", "sentence"),
    [
        (InList, r"keeps in kept a weight of shape \[4\] .* make it an nn.Parameter"),
        (InDict, r"keeps in kept a weight of shape \[4\]"),
        (AsTensor, r"keeps in kept a weight of shape \[4\]"),
        (InModuleOfList, r"keeps in kept a weight of shape \[4\]"),
        (InFunction, r"uses a weight of shape \[4\] that is not among its parameters"),
        (InStart, r"uses a weight of shape \[4\] that is not among its parameters"),
        (Constant, r"keeps in kept a tensor of shape \[4\] .* register_buffer"),
        (MakesLate, r"makes the weight late of shape \[4\] while it runs"),
    ],
)
def test_a_weight_that_nobody_counts_is_refused(cell: type[Cell], sentence: str) -> None:
    with pytest.raises(CellError, match=f"^{cell.__name__}: {sentence}"):
        require_sound(cell(3, 4))


class LearnsItsStart(Sound):
    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.start = nn.Parameter(torch.zeros(hidden_size))

    def initial_state(self, batch_size: int, like: Tensor) -> State:
        return (self.start.expand(batch_size, -1),)


class Buffered(Sound):
    scale: Tensor

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.register_buffer("scale", torch.linspace(0.5, 1, hidden_size))
        self.number = torch.tensor(0.5)

    def step(self, z: Tensor, state: State) -> State:
        return super().step(self.number * self.scale * z, state)


class Frozen(Sound):
    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.weight_hh.requires_grad_(False)


@pytest.mark.parametrize("cell", [LearnsItsStart, Buffered, Frozen])
def test_what_is_a_parameter_or_a_buffer_is_let_through(cell: type[Cell]) -> None:
    require_sound(cell(3, 4))
