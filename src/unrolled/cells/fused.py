"""Cells that PyTorch has fused kernels for, and the kernels of those with one state."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor, nn

from unrolled.cells.base import State
from unrolled.cells.gated import GatedCell


class FusedCell(GatedCell):
    """A gated cell that PyTorch has a fused kernel for.

    On a CUDA device its weights lie in one piece of memory, in the order in which cuDNN reads
    them. It would copy them together at each call otherwise.
    """

    two_biases = True

    @abstractmethod
    def layer_of_torch(self) -> nn.RNNBase:
        """PyTorch's layer of the same equations and sizes."""

    def flatten_parameters(self) -> None:
        """Lay the weights out as cuDNN reads them, if they are on a CUDA device."""
        weights = [*self.named_parameters(recurse=False)]
        there = all(isinstance(one, nn.Parameter) and one.is_cuda for _, one in weights)
        if weights and there and self.has_native:
            flatten(self)

    def _apply(self, *arguments: Any, **options: Any) -> Self:
        # What ``to`` and ``cuda`` move a module by.
        moved: Callable[..., Any] = super()._apply
        moved(*arguments, **options)
        self.flatten_parameters()
        return self


def flatten(cell: FusedCell) -> None:
    """Lay a cell's weights out as cuDNN reads them; the parameters stay the same objects."""
    with torch.device("meta"):
        layer = cell.layer_of_torch()
    for name, weight in cell.named_parameters(recurse=False):
        setattr(layer, f"{name}_l0", weight)
    layer.flatten_parameters()


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
