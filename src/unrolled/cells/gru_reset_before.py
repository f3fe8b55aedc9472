"""The gated recurrent unit of the textbooks, whose reset gate acts before the product."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.cells.base import Cell, Gate, State, uniform


class GRUResetBefore(Cell):
    """Cho et al. 2014 (arXiv 1406.1078v3), with z_t as Chung et al. 2014 (arXiv 1412.3555) write
    it.

    z_t = σ(W_z · [h_{t-1}, x_t] + b_z)
    r_t = σ(W_r · [h_{t-1}, x_t] + b_r)
    h̃_t = tanh(W · [r_t ⊙ h_{t-1}, x_t] + b)
    h_t = (1 - z_t) ⊙ h_{t-1} + z_t ⊙ h̃_t

    Cho et al. have 1 - z_t where this has z_t: the same with the sign of one gate's weights
    changed. Both papers leave the biases out of their equations.

    The three W are stored in parts: what they read of x_t is in ``weight_ih`` (z, r, h̃), what W_z
    and W_r read of h_{t-1} in ``weight_hh``, and what W reads of r_t ⊙ h_{t-1} in ``weight_hn``.

    State: ``h`` ``[batch, hidden_size]``.
    Initialization: PyTorch's for the GRU, everything from U(-1/√hidden_size, 1/√hidden_size).

    Args:
        bias: whether there are b_z, b_r and b.
    """

    recurrent_weights = ("weight_hh", "weight_hn")

    def __init__(self, input_size: int, hidden_size: int, *, bias: bool = True) -> None:
        super().__init__(input_size, hidden_size)
        self.weight_ih = nn.Parameter(torch.empty(3 * hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.empty(2 * hidden_size, hidden_size))
        self.weight_hn = nn.Parameter(torch.empty(hidden_size, hidden_size))
        self.bias_ih = nn.Parameter(torch.empty(3 * hidden_size)) if bias else None

    def reset_parameters(self) -> None:
        uniform([*self.parameters()], self.hidden_size**-0.5)

    def project(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight_ih, self.bias_ih)

    def step(self, z: Tensor, state: State) -> State:
        (h,) = state
        gates, new = z.split_with_sizes([2 * self.hidden_size, self.hidden_size], dim=-1)
        update, reset = torch.sigmoid(gates + F.linear(h, self.weight_hh)).chunk(2, dim=-1)
        new = torch.tanh(new + F.linear(reset * h, self.weight_hn))
        return ((1 - update) * h + update * new,)

    gating = (Gate("z", "replaces"), Gate("r"))
