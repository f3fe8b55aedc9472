"""The simple recurrent network with rectified linear units."""

import torch
from torch import Tensor

from unrolled.cells.base import GatedCell, State


class RnnRelu(GatedCell):
    """The simple network (Elman 1990) with the rectifier of Nair & Hinton, ICML 2010.

    h_t = max(0, W x_t + b + U h_{t-1} + b')

    State: ``h`` ``[batch, hidden_size]``. It is not bounded; clip the gradient.
    """

    gates = ("h",)

    def step(self, z: Tensor, state: State) -> State:
        (h,) = state
        return (torch.relu(z + self.recur(h)),)

    def native(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        (h,) = state
        y, h = torch.rnn_relu(
            x, h[None], self.weights(), True, 1, 0.0, self.training, False, False
        )
        return y, (h[0],)
