"""A layer in fp32 on a CPU: all of its steps, products included, in one call of csrc/fp32.c.

At the sizes that a CPU trains, an operation of PyTorch's takes as long to call as to compute, and
a step has a dozen; and MKL's products of a few rows have half of the rate of large ones.
"""

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from unrolled.cells.base import Cell, State
from unrolled.recurrence.analytic.kernels import Kernel, applied
from unrolled.recurrence.products import weight_gradient
from unrolled.recurrence.steps import Steps

# Multiplications for which another thread is worth waking.
SHARE = 2_000_000
# OpenMP's own function for a parallel region, of the library that PyTorch has loaded.
PARALLEL = getattr(ctypes.CDLL(torch._C.__file__), "GOMP_parallel", None)


class _Arguments(ctypes.Structure):
    """``Layer`` of csrc/fp32.c; tensors are where they begin."""

    _fields_ = tuple(
        (name, ctypes.c_void_p if points else ctypes.c_long)
        for names, points in (
            ("size steps", False),
            ("sequences", True),
            ("parts", False),
            ("cuts", True),
            ("taken keeps", False),
            ("weight bias product projected first_h first kept memory out", True),
            ("given given_memory carried to_product to_projected", True),
        )
        for name in names.split()
    )


def fp32_steps(cell: Cell, kernel: Kernel, z: Tensor, steps: Steps, state: State) -> State:
    """The state of all steps of a cell that has a kernel, ``[rows, hidden_size]`` a part."""
    return applied(_Layer, cell, kernel, z, steps, state)


class _Layer(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        z: Tensor,
        h: Tensor,
        c: Tensor | None,
        weight: Tensor,
        bias: Tensor | None,
        steps: Steps,
        kernel: Kernel,
        differentiated: bool,
    ) -> tuple[Tensor, ...]:
        size, batch = h.shape[-1], steps.batch
        # The state before the first step, and those of all steps.
        states = h.new_empty(batch + len(z), size)
        states[:batch] = h
        y = states[batch:]
        memory, first = (y, states) if c is None else (torch.empty_like(y), c.contiguous())
        # Only what is differentiated needs more than one step's.
        kept = h.new_empty(len(z) if differentiated else batch, kernel.kept * size)
        _run(
            *(kernel, kernel.forward_layer, steps, size, weight.t(), bias),
            projected=z.contiguous(),
            first_h=states,
            first=first,
            kept=kept,
            keeps=differentiated,
            memory=memory,
            out=y,
        )
        ctx.steps, ctx.kernel, ctx.one_state = steps, kernel, c is None
        ctx.save_for_backward(weight, states, first, kept, memory)
        ctx.set_materialize_grads(False)
        return (y,) if c is None else (y, memory)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad_y: Tensor | None, grad_memory: Tensor | None = None
    ) -> tuple[Any, ...]:
        weight, states, first, kept, memory = ctx.saved_tensors
        steps, kernel, size = ctx.steps, ctx.kernel, memory.shape[-1]
        of_product = memory.new_empty(len(memory), len(weight))
        of_z = torch.empty_like(of_product) if kernel.splits else of_product
        carried = memory.new_zeros(steps.batch, size)
        product = _run(
            *(kernel, kernel.backward_layer, steps, size, weight, None),
            first=first,
            kept=kept,
            keeps=True,
            memory=memory,
            given=None if grad_y is None else grad_y.contiguous(),
            given_memory=None if grad_memory is None else grad_memory.contiguous(),
            carried=carried,
            to_product=of_product,
            to_projected=of_z,
        )
        of_h = product[:, :size]
        for_z, for_h, for_c, for_weight, for_bias = ctx.needs_input_grad[:5]
        return (
            of_z if for_z else None,
            (of_h + carried if ctx.one_state else of_h) if for_h else None,
            carried if for_c else None,
            weight_gradient(steps.before(states), of_product) if for_weight else None,
            of_product.sum(0) if for_bias else None,
            *(None, None, None),
        )


def _run(
    kernel: Kernel,
    function: Callable[..., None],
    steps: Steps,
    size: int,
    weight: Tensor,
    bias: Tensor | None,
    *,
    keeps: bool,
    **tensors: Tensor | None,
) -> Tensor:
    """One pass over all steps.

    Args:
        weight: what a step's product multiplies by, ``[inner, columns]``.
        bias: what is added to it.
        keeps, tensors: as in csrc/fp32.c.

    Returns:
        The last step's product, ``[batch, columns or more]``.
    """
    inner, columns = weight.shape
    wide = kernel.padded(columns)
    packed, added = weight.new_empty(inner * wide), weight.new_zeros(wide)
    kernel.pack(*weight.shape, *weight.stride(), weight.data_ptr(), packed.data_ptr())
    if bias is not None:
        added[:columns] = bias
    product = weight.new_zeros(steps.batch, wide)
    threads = min(torch.get_num_threads(), 1 + steps.rows * weight.numel() // SHARE, steps.batch)
    cuts = steps.cuts(threads if PARALLEL else 1)
    tensors |= {"weight": packed, "bias": added, "product": product}
    # In variables, since an address keeps nothing alive.
    sequences, at = _longs(steps.sizes), _longs(cuts)
    arguments = _Arguments(
        size=size,
        steps=len(steps.sizes),
        sequences=ctypes.addressof(sequences),
        parts=len(cuts) - 1,
        cuts=ctypes.addressof(at),
        keeps=keeps,
        **{name: x.data_ptr() for name, x in tensors.items() if x is not None},
    )
    function(ctypes.byref(arguments), PARALLEL)
    return product


def _longs(numbers: Sequence[int]) -> "ctypes.Array[ctypes.c_long]":
    return (ctypes.c_long * len(numbers))(*numbers)
