"""The scalar LSTM of xLSTM, with exponential gates and a normalized, stabilized memory."""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.cells.base import Cell, Gate, State
from unrolled.errors import ConfigError

FORGET_GATES = ("sigmoid", "exp")


class SLSTM(Cell):
    """Beck et al., NeurIPS 2024 (arXiv 2405.04517), eqs. 8 to 17: the recurrence of sLSTM, without
    the block around it.

    z_t = tanh(W_z x_t + R_z h_{t-1} + b_z)
    ĩ_t = W_i x_t + R_i h_{t-1} + b_i,  i_t = exp(ĩ_t)
    f̃_t = W_f x_t + R_f h_{t-1} + b_f,  f_t = σ(f̃_t) or exp(f̃_t)
    o_t = σ(W_o x_t + R_o h_{t-1} + b_o)
    c_t = f_t ⊙ c_{t-1} + i_t ⊙ z_t
    n_t = f_t ⊙ n_{t-1} + i_t
    h_t = o_t ⊙ c_t / n_t

    What is kept of c and n is divided by exp(m_t), where m_t = max(log f_t + m_{t-1}, ĩ_t), so
    that nothing overflows; h does not change. The R are block-diagonal: each head sees itself
    alone.

    State: ``h``, ``c``, ``n`` and ``m``, ``[batch, hidden_size]`` each, in float32 at least. ``m``
    starts at -∞, the logarithm of an empty memory: the first step is then exact for any ĩ.
    Initialization: the defaults of the authors' code. R zero; b_f from 5 down to -7 over the units
    of a head, 5 - 12 (k/(d-1))^0.3, their power law for a first block; other biases zero; W from
    N(0, 2/(5 input_size)), here as in the paper a full matrix, in that code one of blocks.

    Args:
        heads: how many blocks R has; it divides hidden_size. The paper has 4.
        forget_gate: ``sigmoid``, as the authors' code has it, or ``exp``; the paper allows both.

    Raises:
        ConfigError: an option out of its range, or hidden_size is no multiple of ``heads``.
    """

    state_names = ("h", "c", "n", "m")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        heads: int = 4,
        forget_gate: Literal["sigmoid", "exp"] = "sigmoid",
    ) -> None:
        super().__init__(input_size, hidden_size)
        if heads < 1:
            raise ConfigError(f"cell.heads={heads}: must be at least 1")
        if hidden_size % heads:
            raise ConfigError(
                f"cell.heads={heads} does not divide model.hidden_size={hidden_size}; choose a "
                "multiple of it"
            )
        if forget_gate not in FORGET_GATES:
            raise ConfigError(
                f"cell.forget_gate={forget_gate}: choose {' or '.join(FORGET_GATES)}"
            )
        self.heads = heads
        self.forget_gate = forget_gate
        size = hidden_size // heads
        # z, i, f, o, one after the other; in a head's recurrent columns, too.
        self.weight_ih = nn.Parameter(torch.empty(4 * hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.empty(heads, size, 4 * size))
        self.bias_ih = nn.Parameter(torch.empty(4 * hidden_size))

    @classmethod
    def size_multiple(cls, *, heads: int = 4, **options: Any) -> int:
        return heads

    def reset_parameters(self) -> None:
        nn.init.normal_(self.weight_ih, std=(2 / (5 * self.input_size)) ** 0.5)
        nn.init.zeros_(self.weight_hh)
        nn.init.zeros_(self.bias_ih)
        forget = self._forget_bias()
        units = torch.linspace(0, 1, forget.shape[1], device=forget.device)
        with torch.no_grad():
            forget.copy_(5 - 12 * units**0.3)

    def set_forget_bias(self, value: float) -> None:
        nn.init.constant_(self._forget_bias(), value)

    def initial_state(self, batch_size: int, like: Tensor) -> State:
        h, c, n, m = super().initial_state(batch_size, like)
        return h, c, n, torch.full_like(m, -torch.inf)

    def project(self, x: Tensor) -> Tensor:
        z = F.linear(x, self.weight_ih, self.bias_ih)
        # m adds up over time and goes through exp: half precision would lose the gates.
        return z.to(torch.promote_types(z.dtype, torch.float32))

    def step(self, z: Tensor, state: State) -> State:
        h, c, n, m = state
        # [heads, batch, units], and back with the gates outermost.
        h = h.to(self.weight_hh.dtype)
        heads = h.unflatten(1, (self.heads, -1)).transpose(0, 1)
        recurrent = torch.matmul(heads, self.weight_hh).unflatten(2, (4, -1)).permute(1, 2, 0, 3)
        new, i, f, o = (z + recurrent.flatten(1)).chunk(4, dim=-1)
        kept = (F.logsigmoid(f) if self.forget_gate == "sigmoid" else f) + m
        m = torch.maximum(kept, i)
        i, f = torch.exp(i - m), torch.exp(kept - m)
        c = f * c + i * torch.tanh(new)
        n = f * n + i
        h = torch.sigmoid(o) * c / n
        return h, c, n, m

    def apply_zoneout(self, old: State, new: State, keep: State) -> State:
        """Zoneout, where c, n and m are one memory with one share, that of c.

        The true c and n, which are exp(m) times those kept, are mixed: k exp(m_old) c_old + (1 -
        k) exp(m_new) c_new, and so for n, brought to the larger exponent of the two terms.
        """
        (h_old, c_old, n_old, m_old), (h_new, c_new, n_new, m_new) = old, new
        k = keep[1]
        m_old, m_new = m_old + torch.log(k), m_new + torch.log1p(-k)
        m = torch.maximum(m_old, m_new)
        # Both terms are empty where a unit keeps the initial state: -∞ less -∞ is not a number.
        shift = torch.where(m == -torch.inf, 0.0, m)
        a, b = torch.exp(m_old - shift), torch.exp(m_new - shift)
        h = keep[0] * h_old + (1 - keep[0]) * h_new
        return h, a * c_old + b * c_new, a * n_old + b * n_new, m

    def _forget_bias(self) -> Tensor:
        """``[heads, units of a head]``."""
        return self.bias_ih.view(4, self.heads, -1)[2]

    # i and f as they are kept, divided by exp(m): the larger of them is 1.
    gating = (Gate("i", by="exp"), Gate("f", by="exp"), Gate("o"))
