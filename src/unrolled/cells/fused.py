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
        """Lay the weights out as cuDNN reads them, where they are parameters on a CUDA device;
        they stay the same objects."""
        weights = dict(self.named_parameters(recurse=False))
        there = all(isinstance(one, nn.Parameter) and one.is_cuda for one in weights.values())
        if not (weights and there and self.has_native):
            return
        with torch.device("meta"):
            layer = self.layer_of_torch()
        for name, weight in weights.items():
            setattr(layer, f"{name}_l0", weight)
        layer.flatten_parameters()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        # What ``to`` and ``cuda`` move a module by.
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.flatten_parameters()
        return self


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
