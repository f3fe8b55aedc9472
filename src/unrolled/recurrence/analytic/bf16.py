"""A layer in bf16 on a CPU: products by oneDNN, and all that lies between two of them in one pass.

PyTorch takes a dozen operations a step for that, each with a call and a pass of its own over what
a step reads and writes; together they take longer than the products. Products read and give bf16
here, so nothing is converted either; states, gates and their gradients over time are in fp32.
"""

from itertools import accumulate
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from unrolled.cells.base import Cell, State
from unrolled.recurrence.analytic.kernels import Kernel, applied
from unrolled.recurrence.analytic.spans import first_rows
from unrolled.recurrence.products import PackedWeight
from unrolled.recurrence.steps import Steps

HALF = torch.bfloat16


def bf16_steps(cell: Cell, kernel: Kernel, z: Tensor, steps: Steps, state: State) -> State:
    """The state of all steps of a cell that has a kernel, ``[rows, hidden_size]`` a part."""
    return applied(_Layer, cell, kernel, z.to(HALF), steps, state)


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
        packed = PackedWeight(weight, bias, HALF)
        z, first = z.contiguous(), (h if c is None else c).contiguous()
        y = h.new_empty(len(z), size)
        memory = y if c is None else torch.empty_like(y)
        # What products read: the state before the first step, and those of all steps.
        narrow = h.new_empty(batch + len(z), size, dtype=HALF)
        narrow[:batch] = h
        # Only what is differentiated needs more than one step's.
        kept = h.new_empty(len(z) if differentiated else batch, kernel.kept * size)
        z_at, y_at, memory_at = (_addresses(x, steps) for x in (z, y, memory))
        kept_at = _addresses(kept, steps) if differentiated else [kept.data_ptr()] * len(y_at)
        before_at = [first.data_ptr(), *memory_at]
        now, *later = narrow.split([batch, *steps.sizes])
        for t, new in enumerate(later):
            product = packed.rounded_product(first_rows(now, len(new)))
            kernel.forward(
                *(len(new), size, product.data_ptr(), z_at[t], before_at[t]),
                *(kept_at[t], memory_at[t], y_at[t], new.data_ptr()),
            )
            now = new
        ctx.steps, ctx.kernel, ctx.packed, ctx.one_state = steps, kernel, packed, c is None
        ctx.save_for_backward(first, narrow, kept, memory)
        ctx.set_materialize_grads(False)
        return (y,) if c is None else (y, memory)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad_y: Tensor | None, grad_memory: Tensor | None = None
    ) -> tuple[Any, ...]:
        first, narrow, kept, memory = ctx.saved_tensors
        steps, kernel, packed = ctx.steps, ctx.kernel, ctx.packed
        rows, size = memory.shape
        of_product = narrow.new_empty(rows, len(packed.weight))
        of_z = torch.empty_like(of_product) if kernel.splits else of_product
        carried = torch.zeros_like(first)
        # In variables, since an address keeps nothing alive.
        given_y = None if grad_y is None else grad_y.contiguous()
        given_memory = None if grad_memory is None else grad_memory.contiguous()
        kept_at, memory_at, given_y_at, given_memory_at, of_product_at, of_z_at = (
            _addresses(x, steps) for x in (kept, memory, given_y, given_memory, of_product, of_z)
        )
        before_at = [first.data_ptr(), *memory_at]
        later = narrow.new_empty(0, size)
        for t, grad in reversed([*enumerate(steps.split(of_product))]):
            kernel.backward(
                *(len(grad), size, kept_at[t], before_at[t], memory_at[t], given_y_at[t]),
                *(later.data_ptr(), len(later), given_memory_at[t], carried.data_ptr()),
                *(of_product_at[t], of_z_at[t]),
            )
            later = packed.rounded_input_gradient(grad)
        for_z, for_h, for_c, for_weight, for_bias = ctx.needs_input_grad[:5]
        of_h = later.to(carried.dtype)
        return (
            of_z if for_z else None,
            (of_h + carried if ctx.one_state else of_h) if for_h else None,
            carried if for_c else None,
            packed.gradient(steps.before(narrow), of_product) if for_weight else None,
            of_product.sum(0).to(packed.dtype) if for_bias else None,
            *(None, None, None),
        )


def _addresses(x: Tensor | None, steps: Steps) -> list[int | None]:
    """Where each step's rows of ``x`` begin; of no tensor, nowhere."""
    if x is None:
        return [None] * len(steps.sizes)
    row = x.stride(0) * x.element_size()
    return [x.data_ptr() + start * row for start in accumulate(steps.sizes[:-1], initial=0)]
