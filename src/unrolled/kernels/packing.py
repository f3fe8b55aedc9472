"""Matrices in the order in which csrc's products read them."""

import ctypes
from typing import Any

import torch
from torch import Tensor

# How many numbers of a row a product reads at once, by the type of its factors.
TOGETHER = {torch.float32: 1, torch.bfloat16: 32}


class Packing:
    """How products of one type read their factors.

    Args:
        csrc: the library.
        dtype: fp32 or bf16.
    """

    def __init__(self, csrc: ctypes.CDLL, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.kind = "fp32" if dtype == torch.float32 else "bf16"
        self._whole_vectors = _function(csrc, "whole_vectors", [ctypes.c_long], ctypes.c_long)
        pointers = [ctypes.c_long] * 2 + [ctypes.c_void_p] * 2
        self._pack = _function(csrc, f"pack_{self.kind}", pointers)

    def padded(self, columns: int) -> int:
        """How many columns a product of so many has."""
        whole: int = self._whole_vectors(columns)
        return whole

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


def _function(csrc: ctypes.CDLL, name: str, arguments: list[Any], result: Any = None) -> Any:
    one = csrc[name]
    one.argtypes, one.restype = arguments, result
    return one
