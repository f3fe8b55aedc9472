"""The gated recurrent unit, in the form that fused kernels compute."""

import torch
from torch import Tensor, nn

from unrolled.cells.base import Gate, State
from unrolled.cells.fused import FusedCell, one_state


class GRU(FusedCell):
    """Cho et al. 2014, first version (arXiv 1406.1078v1): the reset gate acts after the product
    with U_n.

    r_t = σ(W_r x_t + b_r + U_r h_{t-1} + b'_r)
    z_t = σ(W_z x_t + b_z + U_z h_{t-1} + b'_z)
    n_t = tanh(W_n x_t + b_n + r_t ⊙ (U_n h_{t-1} + b'_n))
    h_t = (1 - z_t) ⊙ n_t + z_t ⊙ h_{t-1}

    The later version, and most textbooks, reset the state before the product: U_n (r_t ⊙ h_{t-1});
    that is another function, ``gru_reset_before``.

    State: ``h`` ``[batch, hidden_size]``.
    Initialization: PyTorch's, everything from U(-1/√hidden_size, 1/√hidden_size).
    """

    gates = ("r", "z", "n")

    def step(self, z: Tensor, state: State) -> State:
        (h,) = state
        z_r, z_z, z_n = z.chunk(3, dim=-1)
        u_r, u_z, u_n = self.recur(h).chunk(3, dim=-1)
        reset = torch.sigmoid(z_r + u_r)
        update = torch.sigmoid(z_z + u_z)
        new = torch.tanh(z_n + reset * u_n)
        return ((1 - update) * new + update * h,)

    def layer_of_torch(self) -> nn.RNNBase:
        return nn.GRU(self.input_size, self.hidden_size)

    def native(
        self, x: Tensor, state: State, batch_sizes: Tensor | None = None
    ) -> tuple[Tensor, State]:
        return one_state(torch.gru, self, x, state, batch_sizes)

    gating = (Gate("r"), Gate("z", "keeps"))
