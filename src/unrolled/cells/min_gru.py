"""The minimal gated recurrent unit of "Were RNNs all we needed?"."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.cells.base import Gate, uniform
from unrolled.cells.linear import LinearCell
from unrolled.errors import ConfigError

CANDIDATES = ("linear", "positive")


class MinGRU(LinearCell):
    """Feng, Tung, Ahmed, Bengio & Hajimirsadeghi 2024 (arXiv 2410.01201), section 3.1.

    z_t = σ(W_z x_t + b_z)
    h̃_t = W_h x_t + b_h
    h_t = (1 - z_t) ⊙ h_{t-1} + z_t ⊙ h̃_t

    With ``candidate=positive`` h̃_t = g(W_h x_t + b_h), where g(a) = a + 0.5 for a ≥ 0 and σ(a)
    below: the paper's log-space version (its appendix B), which needs h > 0.

    State: ``h`` ``[batch, hidden_size]``; it starts at zero.
    Initialization: PyTorch's for linear layers, as the paper has it, everything from
    U(-1/√input_size, 1/√input_size).

    Args:
        candidate: ``linear`` or ``positive``.

    Raises:
        ConfigError: another ``candidate``.
    """

    gating = (Gate("1 - z", "keeps"), Gate("z", "replaces"))

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        candidate: Literal["linear", "positive"] = "linear",
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.positive = is_positive(candidate)
        self.weight_ih = nn.Parameter(torch.empty(2 * hidden_size, input_size))
        self.bias_ih = nn.Parameter(torch.empty(2 * hidden_size))

    def reset_parameters(self) -> None:
        uniform([self.weight_ih, self.bias_ih], self.input_size**-0.5)

    def project(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight_ih, self.bias_ih)

    def gate_and_candidate(self, z: Tensor) -> Tensor:
        if not self.positive:
            return z
        z, h = z.chunk(2, dim=-1)
        return torch.cat([z, positive(h)], dim=-1)


def is_positive(candidate: str) -> bool:
    """Whether a candidate state goes through ``positive``.

    Raises:
        ConfigError: neither ``linear`` nor ``positive``.
    """
    if candidate not in CANDIDATES:
        raise ConfigError(f"cell.candidate={candidate}: choose {' or '.join(CANDIDATES)}")
    return candidate == "positive"


def positive(a: Tensor) -> Tensor:
    """g of the paper's appendix B: a + 0.5 for a ≥ 0, σ(a) below; continuous and above zero."""
    return torch.where(a >= 0, a + 0.5, torch.sigmoid(a))
