"""The independently recurrent neural network."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.cells.base import Cell, State, uniform
from unrolled.errors import ConfigError


class IndRNN(Cell):
    """Li, Li, Cook, Zhu & Gao, CVPR 2018 (arXiv 1803.04831), with the rectifier.

    h_t = max(0, W x_t + u ⊙ h_{t-1} + b)

    State: ``h`` ``[batch, hidden_size]``. Each unit sees itself alone; layers mix them, so use two
    or more. The paper bounds |u| by 2^(1/T) for sequences of T steps, all through training; a
    state that is carried from chunk to chunk sees no last step, and the bound is 1.
    Initialization: u from U(recurrent_min, recurrent_max); its default U(0, 1) is the paper's
    range for long sequences, whose upper end 2^(1/T) goes to 1. W and b as PyTorch's linear
    layers, U(-1/√input_size, 1/√input_size).

    Args:
        recurrent_min: the lower end of u; near 1, a layer starts with long memories alone.
        recurrent_max: the upper end of u.
        recurrent_bound: the bound of |u| in training; None for no bound.

    Raises:
        ConfigError: ``recurrent_min`` is above ``recurrent_max``, or the bound is not positive.
    """

    gating = ()

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        recurrent_min: float = 0.0,
        recurrent_max: float = 1.0,
        recurrent_bound: float | None = 1.0,
    ) -> None:
        super().__init__(input_size, hidden_size)
        if recurrent_min > recurrent_max:
            raise ConfigError(
                f"cell.recurrent_min={recurrent_min}: must not be above "
                f"cell.recurrent_max={recurrent_max}"
            )
        if recurrent_bound is not None and recurrent_bound <= 0:
            raise ConfigError(
                f"cell.recurrent_bound={recurrent_bound}: must be above 0, or null for no bound"
            )
        self.recurrent_bound = recurrent_bound
        self.recurrent_min = recurrent_min
        self.recurrent_max = recurrent_max
        self.weight_ih = nn.Parameter(torch.empty(hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.empty(hidden_size))
        self.bias_ih = nn.Parameter(torch.empty(hidden_size))

    def reset_parameters(self) -> None:
        uniform([self.weight_ih, self.bias_ih], self.input_size**-0.5)
        nn.init.uniform_(self.weight_hh, self.recurrent_min, self.recurrent_max)

    def constrain(self) -> None:
        # Only where it is needed: a change in place would spoil the gradient of an earlier chunk.
        bound = self.recurrent_bound
        if bound is not None and self.weight_hh.abs().max() > bound:
            self.weight_hh.clamp_(-bound, bound)

    def project(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight_ih, self.bias_ih)

    def step(self, z: Tensor, state: State) -> State:
        (h,) = state
        return (torch.relu(z + self.weight_hh * h),)
