"""PyTorch's fused kernels for cells with one state."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from unrolled.cells.base import State
from unrolled.cells.gated import GatedCell


class OneStateCell(GatedCell):
    """A gated cell with one state and a fused kernel of PyTorch's."""

    two_biases = True


def one_state(
    kernel: Callable[..., Any],
    cell: GatedCell,
    x: Tensor,
    state: State,
    batch_sizes: Tensor | None,
) -> tuple[Tensor, State]:
    """``Cell.native`` by ``torch.gru``, ``torch.rnn_tanh`` or ``torch.rnn_relu``."""
    # Autocast gives activations in half precision, and a carried state in fp32 beside them.
    h = state[0][None].to(x.dtype)
    # With biases, one layer, no dropout between layers, one direction; time comes first.
    how = (cell.weights(), True, 1, 0.0, cell.training, False)
    y, h = kernel(x, h, *how, False) if batch_sizes is None else kernel(x, batch_sizes, h, *how)
    return y, (h[0],)
