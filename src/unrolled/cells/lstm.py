"""Long short-term memory."""

import torch
from torch import Tensor

from unrolled.cells.base import GatedCell, State


class LSTM(GatedCell):
    """Hochreiter & Schmidhuber 1997, with the forget gate of Gers, Schmidhuber & Cummins 2000.

    i_t = σ(W_i x_t + b_i + U_i h_{t-1} + b'_i)
    f_t = σ(W_f x_t + b_f + U_f h_{t-1} + b'_f)
    g_t = tanh(W_g x_t + b_g + U_g h_{t-1} + b'_g)
    o_t = σ(W_o x_t + b_o + U_o h_{t-1} + b'_o)
    c_t = f_t ⊙ c_{t-1} + i_t ⊙ g_t
    h_t = o_t ⊙ tanh(c_t)

    State: ``h`` and ``c``, each ``[batch, hidden_size]``.
    """

    state_names = ("h", "c")
    gates = ("i", "f", "g", "o")

    def step(self, z: Tensor, state: State) -> State:
        h, c = state
        i, f, g, o = (z + self.recur(h)).chunk(4, dim=-1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        return h, c

    def native(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        h, c = (part[None] for part in state)
        y, h, c = torch.lstm(x, (h, c), self.weights(), True, 1, 0.0, self.training, False, False)
        return y, (h[0], c[0])
