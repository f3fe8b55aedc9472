"""The quasi-recurrent neural network."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.cells.base import Gate, State, uniform
from unrolled.cells.linear import LinearCell
from unrolled.errors import ConfigError


class QRNN(LinearCell):
    """Bradbury, Merity, Xiong & Socher, ICLR 2017 (arXiv 1611.01576), eqs. 2 and 4 (fo-pooling).

    z_t = tanh(W_z^1 x_t + W_z^2 x_{t-1} + … + b_z)
    f_t = σ(W_f^1 x_t + W_f^2 x_{t-1} + … + b_f)
    o_t = σ(W_o^1 x_t + W_o^2 x_{t-1} + … + b_o)
    c_t = f_t ⊙ c_{t-1} + (1 - f_t) ⊙ z_t
    h_t = o_t ⊙ c_t

    Inputs before the first are zero. The paper writes no biases; its authors' code has them.

    State: ``c`` ``[batch, hidden_size]``; the engine keeps the earlier inputs.
    Initialization: that of the authors' code, which is PyTorch's for linear layers, everything
    from U(-1/√(window * input_size), 1/√(window * input_size)).

    Args:
        window: how many inputs the convolution reads, the present one and those before it; the
            paper has 2, and up to 6 for characters.

    Raises:
        ConfigError: ``window`` is below 1.
    """

    state_names = ("c",)

    def __init__(self, input_size: int, hidden_size: int, *, window: int = 2) -> None:
        super().__init__(input_size, hidden_size)
        if window < 1:
            raise ConfigError(f"cell.window={window}: the convolution reads at least one input")
        self.window = window
        self.weight_ih = nn.Parameter(torch.empty(3 * hidden_size, window * input_size))
        self.bias_ih = nn.Parameter(torch.empty(3 * hidden_size))

    def reset_parameters(self) -> None:
        uniform([self.weight_ih, self.bias_ih], (self.window * self.input_size) ** -0.5)

    def project(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight_ih, self.bias_ih)

    def coefficients(self, z: Tensor) -> tuple[Tensor, Tensor]:
        new, f, _ = z.chunk(3, dim=-1)
        f = torch.sigmoid(f)
        return f, (1 - f) * torch.tanh(new)

    def output(self, z: Tensor, state: State) -> Tensor:
        return torch.sigmoid(z.chunk(3, dim=-1)[2]) * state[0]

    def set_forget_bias(self, value: float) -> None:
        nn.init.constant_(self.bias_ih[self.hidden_size : 2 * self.hidden_size], value)

    gating = (Gate("f", "keeps"), Gate("o"))
