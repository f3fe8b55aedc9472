"""The simple recurrent network with tanh."""

import torch
from torch import Tensor, nn

from unrolled.cells.base import State
from unrolled.cells.fused import FusedCell, one_state


class RnnTanh(FusedCell):
    """Elman, "Finding structure in time", Cognitive Science 14 (1990).

    h_t = tanh(W x_t + b + U h_{t-1} + b')

    State: ``h`` ``[batch, hidden_size]``.
    Initialization: PyTorch's, everything from U(-1/√hidden_size, 1/√hidden_size).
    """

    gates = ("h",)

    def step(self, z: Tensor, state: State) -> State:
        (h,) = state
        return (torch.tanh(z + self.recur(h)),)

    def layer_of_torch(self) -> nn.RNNBase:
        return nn.RNN(self.input_size, self.hidden_size)

    def native(
        self, x: Tensor, state: State, batch_sizes: Tensor | None = None
    ) -> tuple[Tensor, State]:
        return one_state(torch.rnn_tanh, self, x, state, batch_sizes)

    gating = ()
