"""Long short-term memory whose gates see the memory."""

import torch
from torch import Tensor, nn

from unrolled.cells.base import Gate, State
from unrolled.cells.gated import GatedCell


class LSTMPeephole(GatedCell):
    """Gers & Schmidhuber 2000; Gers, Schraudolph & Schmidhuber, JMLR 3 (2002).

    i_t = σ(W_i x_t + U_i h_{t-1} + p_i ⊙ c_{t-1} + b_i)
    f_t = σ(W_f x_t + U_f h_{t-1} + p_f ⊙ c_{t-1} + b_f)
    g_t = tanh(W_g x_t + U_g h_{t-1} + b_g)
    c_t = f_t ⊙ c_{t-1} + i_t ⊙ g_t
    o_t = σ(W_o x_t + U_o h_{t-1} + p_o ⊙ c_t + b_o)
    h_t = o_t ⊙ tanh(c_t)

    tanh is today's choice (Greff et al. 2017) for the two squashing functions. Recurrent and
    weight dropout act on the U alone, not on the peepholes.

    State: ``h`` and ``c``, ``[batch, hidden_size]`` each.
    Initialization: PyTorch's for the LSTM, everything from U(-1/√hidden_size, 1/√hidden_size),
    peepholes included.
    """

    state_names = ("h", "c")
    gates = ("i", "f", "g", "o")

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.peephole_i = nn.Parameter(torch.empty(hidden_size))
        self.peephole_f = nn.Parameter(torch.empty(hidden_size))
        self.peephole_o = nn.Parameter(torch.empty(hidden_size))

    def step(self, z: Tensor, state: State) -> State:
        h, c = state
        i, f, g, o = (z + self.recur(h)).chunk(4, dim=-1)
        i = torch.sigmoid(torch.addcmul(i, self.peephole_i, c))
        f = torch.sigmoid(torch.addcmul(f, self.peephole_f, c))
        c = f * c + i * torch.tanh(g)
        o = torch.sigmoid(torch.addcmul(o, self.peephole_o, c))
        return o * torch.tanh(c), c

    gating = (Gate("i"), Gate("f", "keeps"), Gate("o"))
