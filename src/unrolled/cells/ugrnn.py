"""The update gate recurrent neural network."""

import torch
from torch import Tensor, nn

from unrolled.cells.base import Gate, State
from unrolled.cells.gated import GatedCell


class UGRNN(GatedCell):
    """Collins, Sohl-Dickstein & Sussillo, ICLR 2017 (arXiv 1611.09913), with s = tanh.

    c_t = s(W_c x_t + U_c h_{t-1} + b_c)
    g_t = σ(W_g x_t + U_g h_{t-1} + b_g)
    h_t = g_t ⊙ h_{t-1} + (1 - g_t) ⊙ c_t

    Where g_t is one the state is kept, so a forget bias acts on b_g.

    State: ``h`` ``[batch, hidden_size]``.
    Initialization: b_g starts at ``gate_bias``; the rest is PyTorch's, U(-1/√hidden_size,
    1/√hidden_size).

    Args:
        gate_bias: where b_g starts; 1 in TensorFlow's UGRNNCell, while the paper searches for it.
    """

    gates = ("c", "g")

    def __init__(self, input_size: int, hidden_size: int, *, gate_bias: float = 1.0) -> None:
        super().__init__(input_size, hidden_size)
        self.gate_bias = gate_bias

    def reset_parameters(self) -> None:
        super().reset_parameters()
        self.set_forget_bias(self.gate_bias)

    def step(self, z: Tensor, state: State) -> State:
        (h,) = state
        c, g = (z + self.recur(h)).chunk(2, dim=-1)
        g = torch.sigmoid(g)
        return (g * h + (1 - g) * torch.tanh(c),)

    def set_forget_bias(self, value: float) -> None:
        nn.init.constant_(self.bias_ih[self.gate("g")], value)

    gating = (Gate("g", "keeps"),)
