"""The minimal gated unit."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.cells.base import Cell, Gate, State, uniform


class MGU(Cell):
    """Zhou, Wu, Zhang & Zhou 2016 (arXiv 1603.09420).

    f_t = σ(W_f · [h_{t-1}, x_t] + b_f)
    h̃_t = tanh(W_h · [f_t ⊙ h_{t-1}, x_t] + b_h)
    h_t = (1 - f_t) ⊙ h_{t-1} + f_t ⊙ h̃_t

    The paper calls f_t the forget gate, but where it is one the state is replaced: a GRU's update
    and reset gate in one. A forget bias is meant to keep memories and would lose them here, so it
    leaves this cell as it is, as it does a GRU.

    What W_f and W_h read of x_t is in ``weight_ih`` (f, h̃), what W_f reads of h_{t-1} in
    ``weight_hh``, and what W_h reads of f_t ⊙ h_{t-1} in ``weight_hn``.

    State: ``h`` ``[batch, hidden_size]``.
    Initialization: PyTorch's for the GRU, everything from U(-1/√hidden_size, 1/√hidden_size).
    """

    recurrent_weights = ("weight_hh", "weight_hn")

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.weight_ih = nn.Parameter(torch.empty(2 * hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.empty(hidden_size, hidden_size))
        self.weight_hn = nn.Parameter(torch.empty(hidden_size, hidden_size))
        self.bias_ih = nn.Parameter(torch.empty(2 * hidden_size))

    def reset_parameters(self) -> None:
        uniform([*self.parameters()], self.hidden_size**-0.5)

    def project(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight_ih, self.bias_ih)

    def step(self, z: Tensor, state: State) -> State:
        (h,) = state
        f, new = z.chunk(2, dim=-1)
        f = torch.sigmoid(f + F.linear(h, self.weight_hh))
        new = torch.tanh(new + F.linear(f * h, self.weight_hn))
        return ((1 - f) * h + f * new,)

    gating = (Gate("f", "replaces"),)
