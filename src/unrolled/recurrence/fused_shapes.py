"""The shapes of what PyTorch's fused recurrent kernels give, for tracing.

``torch.export`` finds them by running its own decomposition of a kernel, a Python loop over time,
which fixes the number of steps. Here they are told, so that the number stays open; the graph has
the kernel itself either way.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

ONE_STATE = ("gru", "rnn_tanh", "rnn_relu")


def _lstm(x: Tensor, states: list[Tensor], *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    h, c = states
    return x.new_empty(*x.shape[:2], h.shape[-1]), torch.empty_like(h), torch.empty_like(c)


def _one_state(x: Tensor, h: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    return x.new_empty(*x.shape[:2], h.shape[-1]), torch.empty_like(h)


@contextmanager
def fused_shapes() -> Iterator[None]:
    """Tell the kernels' shapes, of one layer and one direction with time first, within the
    ``with`` block."""
    aten = torch.ops.aten
    shapes = {aten.lstm.input: _lstm, **{getattr(aten, n).input: _one_state for n in ONE_STATE}}
    key = torch._C.DispatchKey.CompositeImplicitAutograd
    before = {kernel: dict(kernel.py_kernels) for kernel in shapes}
    try:
        for kernel, shape in shapes.items():
            kernel.py_kernels[key] = shape
            kernel._dispatch_cache.clear()
        yield
    finally:
        for kernel, own in before.items():
            kernel.py_kernels.clear()
            kernel.py_kernels.update(own)
            kernel._dispatch_cache.clear()
