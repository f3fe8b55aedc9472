"""Long short-term memory."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.cells.autocast import half_type_on_cpu
from unrolled.cells.base import Gate, State
from unrolled.cells.fused import FusedCell
from unrolled.errors import ConfigError


class LSTM(FusedCell):
    """Hochreiter & Schmidhuber 1997, with the forget gate of Gers, Schmidhuber & Cummins 2000.

    i_t = σ(W_i x_t + b_i + U_i h_{t-1} + b'_i)
    f_t = σ(W_f x_t + b_f + U_f h_{t-1} + b'_f)
    g_t = tanh(W_g x_t + b_g + U_g h_{t-1} + b'_g)
    o_t = σ(W_o x_t + b_o + U_o h_{t-1} + b'_o)
    c_t = f_t ⊙ c_{t-1} + i_t ⊙ g_t
    h_t = o_t ⊙ tanh(c_t)

    With a recurrent projection (Sak, Senior & Beaufays 2014) h_t = P (o_t ⊙ tanh(c_t)).

    State: ``h`` ``[batch, projection_size or hidden_size]`` and ``c`` ``[batch, hidden_size]``.
    Initialization: PyTorch's, everything from U(-1/√hidden_size, 1/√hidden_size).

    Args:
        projection_size: the width of ``h``; None for no projection.
    """

    state_names = ("h", "c")
    gates = ("i", "f", "g", "o")

    def __init__(
        self, input_size: int, hidden_size: int, *, projection_size: int | None = None
    ) -> None:
        super().__init__(input_size, hidden_size, output_size=projection_size)
        self.projection_size = projection_size
        if projection_size is not None:
            if projection_size < 1:
                raise ConfigError(
                    f"cell.projection_size={projection_size}: must be at least 1, or null for no "
                    "projection"
                )
            self.weight_hr = nn.Parameter(torch.empty(projection_size, hidden_size))

    @property
    def state_sizes(self) -> tuple[int, ...]:
        return self.output_size, self.hidden_size

    def step(self, z: Tensor, state: State) -> State:
        h, c = state
        i, f, g, o = (z + self.recur(h)).chunk(4, dim=-1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        if self.projection_size is not None:
            h = F.linear(h, self.weight_hr)
        return h, c

    @property
    def has_native(self) -> bool:
        # The kernels take a projection only to something narrower.
        return self.output_size < self.hidden_size or self.projection_size is None

    def native_suits(self, device: torch.device, *, batch: int, unequal: bool) -> bool:
        # A projection, too, is nothing that oneDNN's kernel computes.
        unequal = unequal or self.projection_size is not None
        return super().native_suits(device, batch=batch, unequal=unequal)

    def layer_of_torch(self) -> nn.RNNBase:
        return nn.LSTM(self.input_size, self.hidden_size, proj_size=self.projection_size or 0)

    def native(
        self, x: Tensor, state: State, batch_sizes: Tensor | None = None
    ) -> tuple[Tensor, State]:
        if half_type_on_cpu(x.device) is not None:
            # In half precision oneDNN's kernel keeps c in it, so that small steps do not add up;
            # given c in fp32 it still learned worse, with every seed that was tried.
            with torch.autocast("cpu", enabled=False):
                return self.native(x.float(), state, batch_sizes)
        h, c = (part[None].to(x.dtype) for part in state)
        # As ``one_state`` of unrolled.cells.fused does it, with two states.
        kernel: Any = torch.lstm
        how = (self.weights(), True, 1, 0.0, self.training, False)
        if batch_sizes is None:
            y, h, c = kernel(x, (h, c), *how, False)
        else:
            y, h, c = kernel(x, batch_sizes, (h, c), *how)
        return y, (h[0], c[0])

    gating = (Gate("f", "keeps"), Gate("i"), Gate("o"))
