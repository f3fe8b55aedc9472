"""The simple recurrent network with tanh."""

import torch
from torch import Tensor

from unrolled.cells.base import GatedCell, State


class RnnTanh(GatedCell):
    """Elman, "Finding structure in time", Cognitive Science 14 (1990).

    h_t = tanh(W x_t + b + U h_{t-1} + b')

    State: ``h`` ``[batch, hidden_size]``.
    """

    gates = ("h",)

    def step(self, z: Tensor, state: State) -> State:
        (h,) = state
        return (torch.tanh(z + self.recur(h)),)

    def native(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        (h,) = state
        y, h = torch.rnn_tanh(
            x, h[None], self.weights(), True, 1, 0.0, self.training, False, False
        )
        return y, (h[0],)
