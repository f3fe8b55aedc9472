"""The gated recurrent unit with layer normalization."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.cells.base import Gate, State
from unrolled.cells.gated import GatedCell


class GRULayerNorm(GatedCell):
    """Ba, Kiros & Hinton 2016 (arXiv 1607.06450), the GRU of the supplementary material.

    (z_t, r_t) = LN(W_h h_{t-1}; α_1, β_1) + LN(W_x x_t; α_2, β_2)
    ĥ_t = tanh(LN(W x_t; α_3, β_3) + σ(r_t) ⊙ LN(U h_{t-1}; α_4, β_4))
    h_t = (1 - σ(z_t)) ⊙ h_{t-1} + σ(z_t) ⊙ ĥ_t

    LN(a; α, β) = α ⊙ (a - mean(a)) / √(variance(a) + 1e-5) + β, over z and r together. β_1 and β_2
    only ever occur as their sum, so one is kept for both: ``bias_ih`` holds it over β_3.
    ``weight_ih`` holds W_x over W, and ``weight_hh`` W_h over U.

    State: ``h`` ``[batch, hidden_size]``; it stays between -1 and 1.
    Initialization: gains α one and biases β zero, as in the paper; matrices from
    U(-1/√hidden_size, 1/√hidden_size), PyTorch's for the GRU.
    """

    gates = ("z", "r", "n")

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.alpha_1 = nn.Parameter(torch.empty(2 * hidden_size))
        self.alpha_2 = nn.Parameter(torch.empty(2 * hidden_size))
        self.alpha_3 = nn.Parameter(torch.empty(hidden_size))
        self.alpha_4 = nn.Parameter(torch.empty(hidden_size))
        self.beta_4 = nn.Parameter(torch.empty(hidden_size))

    def reset_parameters(self) -> None:
        super().reset_parameters()
        for gain in (self.alpha_1, self.alpha_2, self.alpha_3, self.alpha_4):
            nn.init.ones_(gain)
        for bias in (self.bias_ih, self.beta_4):
            nn.init.zeros_(bias)

    def project(self, x: Tensor) -> Tensor:
        gates, new = self._split(F.linear(x, self.weight_ih))
        beta_12, beta_3 = self._split(self.bias_ih)
        gates = F.layer_norm(gates, self.alpha_2.shape, self.alpha_2, beta_12)
        new = F.layer_norm(new, self.alpha_3.shape, self.alpha_3, beta_3)
        return torch.cat([gates, new], dim=-1)

    def step(self, z: Tensor, state: State) -> State:
        (h,) = state
        gates, new = self._split(z)
        u_gates, u_new = self._split(self.recur(h))
        u_gates = F.layer_norm(u_gates, self.alpha_1.shape, self.alpha_1)
        u_new = F.layer_norm(u_new, self.alpha_4.shape, self.alpha_4, self.beta_4)
        update, reset = torch.sigmoid(gates + u_gates).chunk(2, dim=-1)
        new = torch.tanh(torch.addcmul(new, reset, u_new))
        return ((1 - update) * h + update * new,)

    def _split(self, a: Tensor) -> tuple[Tensor, ...]:
        """The rows of z and r, and those of ĥ."""
        return a.split_with_sizes([2 * self.hidden_size, self.hidden_size], dim=-1)

    gating = (Gate("z", "replaces"), Gate("r"))
