"""The simple recurrent network with rectified linear units."""

import torch
from torch import Tensor, nn

from unrolled.cells.base import State
from unrolled.cells.fused import FusedCell, one_state


class RnnRelu(FusedCell):
    """The simple network (Elman 1990) with the rectifier of Nair & Hinton, ICML 2010.

    h_t = max(0, W x_t + b + U h_{t-1} + b')

    State: ``h`` ``[batch, hidden_size]``. It is not bounded; clip the gradient.
    Initialization: PyTorch's, everything from U(-1/√hidden_size, 1/√hidden_size).
    """

    gates = ("h",)

    def step(self, z: Tensor, state: State) -> State:
        (h,) = state
        return (torch.relu(z + self.recur(h)),)

    def layer_of_torch(self) -> nn.RNNBase:
        return nn.RNN(self.input_size, self.hidden_size, nonlinearity="relu")

    def native(
        self, x: Tensor, state: State, batch_sizes: Tensor | None = None
    ) -> tuple[Tensor, State]:
        return one_state(torch.rnn_relu, self, x, state, batch_sizes)

    gating = ()
