"""Cells' passes over time in C, as Python calls them."""

import ctypes
import functools
from typing import Any

import torch
from torch import Tensor

from unrolled.cells.base import Cell
from unrolled.cells.gru import GRU
from unrolled.cells.irnn import IRNN
from unrolled.cells.lstm import LSTM
from unrolled.cells.rnn_relu import RnnRelu
from unrolled.cells.rnn_tanh import RnnTanh
from unrolled.kernels.library import library, threaded

# How many numbers of a row a product reads at once, by the type of its factors.
TOGETHER = {torch.float32: 1, torch.bfloat16: 32}


class Passes:
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
        padded: how many columns a product of so many has.
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
        self.dtype, self.kept, self.splits = dtype, kept, splits
        kind = "fp32" if dtype == torch.float32 else "bf16"

        def function(named: str, arguments: list[Any], result: Any = None) -> Any:
            one = csrc[named]
            one.argtypes, one.restype = arguments, result
            return one

        self.forward = threaded(csrc, f"{name}_forward_{kind}")
        self.backward = threaded(csrc, f"{name}_backward_{kind}")
        self.padded = function("whole_vectors", [ctypes.c_long], ctypes.c_long)
        self._pack = function(f"pack_{kind}", [ctypes.c_long] * 2 + [ctypes.c_void_p] * 2)

    def rows(self, number: int, size: int) -> Tensor:
        """Room for so many rows that products read, ``[number, size or more]``; what is beyond
        the size are zeros."""
        found = torch.empty(number, self._deep(size), dtype=self.dtype, device="cpu")
        found[:, size:] = 0
        return found

    def packed(self, weight: Tensor) -> Tensor:
        """A matrix ``[inner, columns]`` in the order in which products read it."""
        inner, columns = weight.shape
        weight = weight.contiguous()
        to = torch.empty(self._deep(inner) * self.padded(columns), dtype=self.dtype, device="cpu")
        self._pack(inner, columns, weight.data_ptr(), to.data_ptr())
        return to

    def _deep(self, inner: int) -> int:
        together = TOGETHER[self.dtype]
        return -(-inner // together) * together


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
