"""A pass over all steps in C, whose sequences are shared out among threads."""

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from unrolled.kernels.library import PARALLEL
from unrolled.recurrence.steps import Steps

# How every such structure of csrc begins, for ``fields``.
SHARED_OUT = ("size steps", "sequences", "parts", "cuts")


def run_steps(
    function: Any,
    structure: type[ctypes.Structure],
    steps: Steps,
    tensors: Mapping[str, Tensor | None],
    *,
    shares: int,
    **numbers: int,
) -> None:
    """Call a function of csrc.

    Args:
        structure: what it takes, which begins with ``SHARED_OUT``.
        tensors: of the structure, by name; None: a null.
        shares: how many threads are worth waking besides this one.
        numbers: of the structure, by name.
    """
    threads = min(torch.get_num_threads(), 1 + shares, steps.batch)
    cuts = steps.cuts(threads if PARALLEL else 1)
    # In variables, since an address keeps nothing alive.
    sequences, at = _longs(steps.sizes), _longs(cuts)
    arguments = structure(
        steps=len(steps.sizes),
        sequences=ctypes.addressof(sequences),
        parts=len(cuts) - 1,
        cuts=ctypes.addressof(at),
        **numbers,
        **{name: x.data_ptr() for name, x in tensors.items() if x is not None},
    )
    function(ctypes.byref(arguments), PARALLEL)


def _longs(numbers: Sequence[int]) -> "ctypes.Array[ctypes.c_long]":
    return (ctypes.c_long * len(numbers))(*numbers)
