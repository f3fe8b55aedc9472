"""Long short-term memory with layer normalization."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.cells.base import Gate, State
from unrolled.cells.gated import GatedCell


class LSTMLayerNorm(GatedCell):
    """Ba, Kiros & Hinton 2016 (arXiv 1607.06450), eqs. 20 to 22.

    (f_t, i_t, o_t, g_t) = LN(W_h h_{t-1}; α_1, β_1) + LN(W_x x_t; α_2, β_2) + b
    c_t = σ(f_t) ⊙ c_{t-1} + σ(i_t) ⊙ tanh(g_t)
    h_t = σ(o_t) ⊙ tanh(LN(c_t; α_3, β_3))

    LN(a; α, β) = α ⊙ (a - mean(a)) / √(variance(a) + 1e-5) + β, over all four gates together.
    β_1, β_2 and b only ever occur as their sum, so b alone is kept; it starts at zero like them.

    State: ``h`` and ``c``, ``[batch, hidden_size]`` each.
    Initialization: gains α one and biases zero, as in the paper; matrices from
    U(-1/√hidden_size, 1/√hidden_size), PyTorch's for the LSTM.
    """

    state_names = ("h", "c")
    gates = ("f", "i", "o", "g")

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.alpha_1 = nn.Parameter(torch.empty(4 * hidden_size))
        self.alpha_2 = nn.Parameter(torch.empty(4 * hidden_size))
        self.alpha_3 = nn.Parameter(torch.empty(hidden_size))
        self.beta_3 = nn.Parameter(torch.empty(hidden_size))

    def reset_parameters(self) -> None:
        super().reset_parameters()
        for gain in (self.alpha_1, self.alpha_2, self.alpha_3):
            nn.init.ones_(gain)
        for bias in (self.bias_ih, self.beta_3):
            nn.init.zeros_(bias)

    def project(self, x: Tensor) -> Tensor:
        a = F.linear(x, self.weight_ih)
        return F.layer_norm(a, self.alpha_2.shape, self.alpha_2, self.bias_ih)

    def step(self, z: Tensor, state: State) -> State:
        h, c = state
        a = F.layer_norm(self.recur(h), self.alpha_1.shape, self.alpha_1)
        f, i, o, g = (z + a).chunk(4, dim=-1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        normalized = F.layer_norm(c, self.alpha_3.shape, self.alpha_3, self.beta_3)
        return torch.sigmoid(o) * torch.tanh(normalized), c

    gating = (Gate("f", "keeps"), Gate("i"), Gate("o"))
