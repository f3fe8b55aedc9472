"""Cells' passes over time in C, as Python calls them."""

import ctypes
import functools

import torch

from unrolled.cells.base import Cell
from unrolled.cells.gru import GRU
from unrolled.cells.irnn import IRNN
from unrolled.cells.lstm import LSTM
from unrolled.cells.rnn_relu import RnnRelu
from unrolled.cells.rnn_tanh import RnnTanh
from unrolled.kernels.library import library, threaded
from unrolled.kernels.packing import Packing


class Passes(Packing):
    """A cell's forward and backward pass over time, with products of one type.

    Args:
        csrc: the library.
        name: how its functions there begin.
        dtype: fp32 or bf16.
        kept: how many times the hidden size forward keeps for backward, besides the states.
        splits: whether the recurrent product and the projected input have different gradients.

    Attributes:
        forward, backward: the functions of csrc/layer.h, which take a layer, and what runs a
            function in several threads.
    """

    def __init__(
        self,
        csrc: ctypes.CDLL,
        name: str,
        dtype: torch.dtype,
        kept: int,
        *,
        splits: bool,
    ) -> None:
        super().__init__(csrc, dtype)
        self.kept, self.splits = kept, splits
        self.forward = threaded(csrc, f"{name}_forward_{self.kind}")
        self.backward = threaded(csrc, f"{name}_backward_{self.kind}")


# A cell's passes, by the type of their products.
Kernel = dict[torch.dtype, Passes]


def kernel_for(cell: Cell) -> Kernel | None:
    """A cell's passes on this processor; None where there are none, or no compiler."""
    return _kernels().get(type(cell))


@functools.cache
def _kernels() -> dict[type[Cell], Kernel]:
    csrc = library()
    if csrc is None:
        return {}

    def kernel(name: str, kept: int = 0, *, splits: bool = False) -> Kernel:
        return {
            dtype: Passes(csrc, name, dtype, kept, splits=splits)
            for dtype in (torch.float32, torch.bfloat16)
        }

    # By exact class: a subclass may have another step.
    return {
        LSTM: kernel("lstm", 4),
        GRU: kernel("gru", 4, splits=True),
        RnnTanh: kernel("tanh"),
        RnnRelu: kernel("relu"),
        IRNN: kernel("relu"),
    }
