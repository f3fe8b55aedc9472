"""Long short-term memory with coupled input and forget gates."""

import torch
from torch import Tensor

from unrolled.cells.base import Gate, State
from unrolled.cells.gated import GatedCell


class LSTMCIFG(GatedCell):
    """Greff, Srivastava, Koutník, Steunebrink & Schmidhuber 2017 (arXiv 1503.04069), variant CIFG,
    without its peepholes.

    f_t = σ(W_f x_t + U_f h_{t-1} + b_f)
    i_t = 1 - f_t
    g_t = tanh(W_g x_t + U_g h_{t-1} + b_g)
    o_t = σ(W_o x_t + U_o h_{t-1} + b_o)
    c_t = f_t ⊙ c_{t-1} + i_t ⊙ g_t
    h_t = o_t ⊙ tanh(c_t)

    The paper computes i_t and has f_t = 1 - i_t: the same with the sign of one gate's weights
    changed. Here f_t has the bias, so that a forget bias means what it means in an LSTM.

    State: ``h`` and ``c``, ``[batch, hidden_size]`` each; ``c`` stays between -1 and 1.
    Initialization: PyTorch's for the LSTM, everything from U(-1/√hidden_size, 1/√hidden_size).
    """

    state_names = ("h", "c")
    gates = ("f", "g", "o")

    def step(self, z: Tensor, state: State) -> State:
        h, c = state
        f, g, o = (z + self.recur(h)).chunk(3, dim=-1)
        f = torch.sigmoid(f)
        c = f * c + (1 - f) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c

    gating = (Gate("f", "keeps"), Gate("o"))
