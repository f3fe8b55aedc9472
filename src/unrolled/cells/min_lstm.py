"""The minimal long short-term memory of "Were RNNs all we needed?"."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.cells.base import Gate, uniform
from unrolled.cells.linear import LinearCell
from unrolled.cells.min_gru import is_positive, positive


class MinLSTM(LinearCell):
    """Feng, Tung, Ahmed, Bengio & Hajimirsadeghi 2024 (arXiv 2410.01201), section 3.2.

    f_t = σ(W_f x_t + b_f)
    i_t = σ(W_i x_t + b_i)
    h̃_t = W_h x_t + b_h
    f'_t, i'_t = f_t / (f_t + i_t), i_t / (f_t + i_t)
    h_t = f'_t ⊙ h_{t-1} + i'_t ⊙ h̃_t

    With ``candidate=positive`` h̃_t = g(W_h x_t + b_h) as in ``MinGRU``.

    State: ``h`` ``[batch, hidden_size]``; it starts at zero.
    Initialization: PyTorch's for linear layers, as the paper has it, everything from
    U(-1/√input_size, 1/√input_size).

    Args:
        candidate: ``linear`` or ``positive``.

    Raises:
        ConfigError: another ``candidate``.
    """

    gating = (Gate("f'", "keeps"), Gate("i'", "replaces"))

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        candidate: Literal["linear", "positive"] = "linear",
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.positive = is_positive(candidate)
        self.weight_ih = nn.Parameter(torch.empty(3 * hidden_size, input_size))
        self.bias_ih = nn.Parameter(torch.empty(3 * hidden_size))

    def reset_parameters(self) -> None:
        uniform([self.weight_ih, self.bias_ih], self.input_size**-0.5)

    def project(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight_ih, self.bias_ih)

    def gate_and_candidate(self, z: Tensor) -> Tensor:
        f, i, h = z.chunk(3, dim=-1)
        # i' = 1 / (1 + f/i) = σ(log i - log f): never 0/0, however small both gates are.
        ratio = F.logsigmoid(i) - F.logsigmoid(f)
        return torch.cat([ratio, positive(h) if self.positive else h], dim=-1)

    def set_forget_bias(self, value: float) -> None:
        nn.init.constant_(self.bias_ih[: self.hidden_size], value)
