"""The recurrent highway network."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.cells.base import Cell, Gate, State, uniform
from unrolled.errors import ConfigError


class RHN(Cell):
    """Zilly, Srivastava, Koutník & Schmidhuber, ICML 2017 (arXiv 1607.03474), eqs. 6 to 8, with
    coupled gates c = 1 - t as in all of the paper's experiments.

    s_t^0 = s_{t-1}, and for l = 1, …, depth (the input enters at l = 1 alone):
    h_t^l = tanh(W_H x_t 𝟙[l = 1] + R_H^l s_t^{l-1} + b_H^l)
    t_t^l = σ(W_T x_t 𝟙[l = 1] + R_T^l s_t^{l-1} + b_T^l)
    s_t^l = h_t^l ⊙ t_t^l + s_t^{l-1} ⊙ (1 - t_t^l)

    State: ``s`` = s_t^depth ``[batch, hidden_size]``. ``weight_hh_0`` holds R_H^1 over R_T^1, and
    so on; b^1 is ``bias_ih``, b^2 ``bias_hh_1``, and so on.
    Initialization: that of the authors' code, everything from U(-initial_range, initial_range) but
    b_T, which starts at ``transform_bias``.

    Args:
        depth: micro-steps per step of time. On the Penn Treebank the authors measure 90.6, 70.6
            and 66.0 at depths 1, 3 and 10 of one size, so 3 has most of the gain for a third of
            the time.
        transform_bias: where b_T starts; the authors take -2 for words and -4 for characters. The
            more negative, the more of the state passes unchanged at first.
        initial_range: half the width of the uniform distribution.

    Raises:
        ConfigError: an option out of its range.
    """

    state_names = ("s",)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        depth: int = 3,
        transform_bias: float = -2.0,
        initial_range: float = 0.04,
    ) -> None:
        super().__init__(input_size, hidden_size)
        if depth < 1:
            raise ConfigError(f"cell.depth={depth}: a step needs at least one micro-step")
        if initial_range <= 0:
            raise ConfigError(f"cell.initial_range={initial_range}: must be above 0")
        self.depth = depth
        self.transform_bias = transform_bias
        self.initial_range = initial_range
        self.recurrent_weights = tuple(f"weight_hh_{level}" for level in range(depth))
        self.gating = tuple(Gate(f"t{level}", "replaces") for level in range(1, depth + 1))
        rows = 2 * hidden_size
        self.weight_ih = nn.Parameter(torch.empty(rows, input_size))
        self.bias_ih = nn.Parameter(torch.empty(rows))
        for level in range(depth):
            matrix, bias = nn.Parameter(torch.empty(rows, hidden_size)), torch.empty(rows)
            self.register_parameter(f"weight_hh_{level}", matrix)
            # The first micro-step's bias is in the projection.
            self.register_parameter(f"bias_hh_{level}", nn.Parameter(bias) if level else None)

    def reset_parameters(self) -> None:
        uniform([*self.parameters()], self.initial_range)
        for name, parameter in self.named_parameters():
            if name.startswith("bias"):
                nn.init.constant_(parameter[self.hidden_size :], self.transform_bias)

    def project(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight_ih, self.bias_ih)

    def step(self, z: Tensor, state: State) -> State:
        (s,) = state
        for level in range(self.depth):
            weight, bias = getattr(self, f"weight_hh_{level}"), getattr(self, f"bias_hh_{level}")
            r = F.linear(s, weight, bias)
            h, t = (r if level else z + r).chunk(2, dim=-1)
            s = s + torch.sigmoid(t) * (torch.tanh(h) - s)
        return (s,)
