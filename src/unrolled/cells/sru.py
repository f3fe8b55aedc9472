"""The simple recurrent unit, first version."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.cells.base import Gate, State
from unrolled.cells.linear import LinearCell


class SRU(LinearCell):
    """Lei, Zhang & Artzi 2017 (arXiv 1709.02755v1 and v2): the gates read the input alone.

    x̃_t = W x_t
    f_t = σ(W_f x_t + b_f)
    r_t = σ(W_r x_t + b_r)
    c_t = f_t ⊙ c_{t-1} + (1 - f_t) ⊙ x̃_t
    h_t = r_t ⊙ tanh(c_t) + (1 - r_t) ⊙ x_t

    Where input_size and hidden_size differ, the last x_t is W_h x_t, as in the authors' code. The
    version of EMNLP 2018 adds v ⊙ c_{t-1} to the gates, which is another function and no longer
    linear in c.

    State: ``c`` ``[batch, hidden_size]``.
    Initialization: that of the authors' code, matrices from U(-√(3/input_size), √(3/input_size)),
    b_f zero and b_r at ``highway_bias``.

    Args:
        highway_bias: where b_r starts; negative, a layer passes its input on at first. The
            authors' code has 0 by default.
    """

    state_names = ("c",)

    def __init__(self, input_size: int, hidden_size: int, *, highway_bias: float = 0.0) -> None:
        super().__init__(input_size, hidden_size)
        self.highway_bias = highway_bias
        blocks = 3 if input_size == hidden_size else 4
        self.weight_ih = nn.Parameter(torch.empty(blocks * hidden_size, input_size))
        self.bias_ih = nn.Parameter(torch.empty(2 * hidden_size))

    def reset_parameters(self) -> None:
        bound = (3 / self.input_size) ** 0.5
        nn.init.uniform_(self.weight_ih, -bound, bound)
        nn.init.zeros_(self.bias_ih)
        nn.init.constant_(self.bias_ih[self.hidden_size :], self.highway_bias)

    def project(self, x: Tensor) -> Tensor:
        # x̃ and W_h x have no bias.
        last = self.weight_ih.shape[0] - 3 * self.hidden_size
        z = F.linear(x, self.weight_ih, F.pad(self.bias_ih, (self.hidden_size, last)))
        return z if last else torch.cat([z, x], dim=-1)

    def coefficients(self, z: Tensor) -> tuple[Tensor, Tensor]:
        x, f, _, _ = z.chunk(4, dim=-1)
        f = torch.sigmoid(f)
        return f, (1 - f) * x

    def output(self, z: Tensor, state: State) -> Tensor:
        _, _, r, x = z.chunk(4, dim=-1)
        return x + torch.sigmoid(r) * (torch.tanh(state[0]) - x)

    def set_forget_bias(self, value: float) -> None:
        nn.init.constant_(self.bias_ih[: self.hidden_size], value)

    gating = (Gate("f", "keeps"), Gate("r"))
