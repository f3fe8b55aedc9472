"""FastRNN, a simple network with a weighted residual connection."""

import torch
from torch import Tensor, nn

from unrolled.cells.base import State
from unrolled.cells.gated import GatedCell


class FastRNN(GatedCell):
    """Kusupati et al., "FastGRNN", NeurIPS 2018, section 3.1.

    c_t = tanh(W x_t + b + U h_{t-1})
    h_t = σ(α) c_t + σ(β) h_{t-1}

    State: ``h`` ``[batch, hidden_size]``.

    Args:
        alpha, beta: what the scalars start from, before the sigmoid; the paper's -3 and 3 keep
            most of the state.
    """

    gates = ("h",)
    gating = ()

    def __init__(
        self, input_size: int, hidden_size: int, *, alpha: float = -3.0, beta: float = 3.0
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.start = (alpha, beta)
        self.alpha = nn.Parameter(torch.empty(1))
        self.beta = nn.Parameter(torch.empty(1))

    def reset_parameters(self) -> None:
        super().reset_parameters()
        for parameter, value in zip((self.alpha, self.beta), self.start, strict=True):
            nn.init.constant_(parameter, value)

    def step(self, z: Tensor, state: State) -> State:
        (h,) = state
        c = torch.tanh(z + self.recur(h))
        return (torch.sigmoid(self.alpha) * c + torch.sigmoid(self.beta) * h,)
