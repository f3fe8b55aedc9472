"""A layer on a CPU: all of its steps, products included, in one call of csrc.

At the sizes that a CPU trains, an operation of PyTorch's takes as long to call as to compute, and
a step has a dozen; and the libraries' products of a few rows have half of the rate of large ones.
"""

import ctypes
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from unrolled.cells.base import Cell, State
from unrolled.cells.gated import GatedCell
from unrolled.kernels.library import fields
from unrolled.recurrence.analytic.passes import Passes
from unrolled.recurrence.c_steps import SHARED_OUT, run_steps
from unrolled.recurrence.lookup import Inputs, Lookup, added_up
from unrolled.recurrence.products import weight_gradient
from unrolled.recurrence.steps import Steps

# Multiplications for which another thread is worth waking.
SHARE = 2_000_000


class _Arguments(ctypes.Structure):
    """``Layer`` of csrc/layer.h; tensors are where they begin."""

    _fields_ = fields(
        *SHARED_OUT,
        "taken keeps",
        "weight bias product ids projected first_fed first kept memory out fed "
        "given given_memory carried to_product to_projected",
    )


def c_layer_steps(cell: Cell, passes: Passes, z: Inputs, steps: Steps, state: State) -> State:
    """The state of all steps of a cell that has a kernel, ``[rows, hidden_size]`` a part.

    Args:
        passes: the cell's, for the type of ``z``.
        z: the projected input, ``[rows, projected size]``, or a lookup of as many.

    Raises:
        IndexError: an id is not of the lookup's table.
    """
    assert isinstance(cell, GatedCell)
    h, *rest = state
    memory = rest[0] if rest else None
    parameters = cell.weight_hh, cell.bias_hh
    differentiated = torch.is_grad_enabled()
    z, ids = (z.table, z.checked_ids()) if isinstance(z, Lookup) else (z, None)
    states: State = _Layer.apply(  # type: ignore[no-untyped-call]
        z, h, memory, *parameters, ids, steps, passes, differentiated
    )
    return states


class _Layer(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        z: Tensor,
        h: Tensor,
        c: Tensor | None,
        weight: Tensor,
        bias: Tensor | None,
        ids: Tensor | None,
        steps: Steps,
        passes: Passes,
        differentiated: bool,
    ) -> tuple[Tensor, ...]:
        size, batch, rows = h.shape[-1], steps.batch, steps.rows
        # What products read: the state before the first step, and those of all steps.
        fed = passes.rows(batch + rows, size)
        fed[:batch, :size] = h
        y = fed[batch:] if passes.dtype == h.dtype else h.new_empty(rows, size)
        memory, first = (y, h) if c is None else (torch.empty_like(y), c)
        first = first.contiguous()
        # Only what is differentiated needs more than one step's.
        kept = h.new_empty(rows if differentiated else batch, passes.kept * size)
        _run(
            *(passes, passes.forward, steps, size, weight.t(), bias),
            ids=ids,
            projected=z.contiguous(),
            first_fed=fed,
            first=first,
            kept=kept,
            keeps=differentiated,
            memory=memory,
            out=y,
            fed=fed[batch:],
        )
        ctx.steps, ctx.passes, ctx.one_state, ctx.entries = steps, passes, c is None, len(z)
        ctx.save_for_backward(weight, fed, first, kept, memory, ids)
        ctx.set_materialize_grads(False)
        return (y,) if c is None else (y, memory)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad_y: Tensor | None, grad_memory: Tensor | None = None
    ) -> tuple[Any, ...]:
        weight, fed, first, kept, memory, ids = ctx.saved_tensors
        steps, passes, size = ctx.steps, ctx.passes, memory.shape[-1]
        to_product = passes.rows(len(memory), len(weight))
        to_projected = to_product
        if passes.splits:
            to_projected = passes.rows(len(memory), len(weight))
        carried = memory.new_zeros(steps.batch, size)
        product = _run(
            *(passes, passes.backward, steps, size, weight, None),
            first=first,
            kept=kept,
            keeps=True,
            memory=memory,
            given=None if grad_y is None else grad_y.contiguous(),
            given_memory=None if grad_memory is None else grad_memory.contiguous(),
            carried=carried,
            to_product=to_product,
            to_projected=to_projected,
        )
        of_h, of_product = product[:, :size], to_product[:, : len(weight)]
        of_z = to_projected[:, : len(weight)]
        if ids is not None:
            of_z = added_up(of_z, ids, ctx.entries)
        to_bias = of_product if passes.splits else of_z
        for_z, for_h, for_c, for_weight, for_bias = ctx.needs_input_grad[:5]
        before = steps.before(fed)[:, :size] if for_weight else None
        return (
            of_z.to(passes.dtype) if for_z else None,
            (of_h + carried if ctx.one_state else of_h) if for_h else None,
            carried if for_c else None,
            None if before is None else weight_gradient(before, of_product).to(weight.dtype),
            to_bias.sum(0).to(weight.dtype) if for_bias else None,
            *(None, None, None, None),
        )


def _run(
    passes: Passes,
    function: Any,
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
        keeps, tensors: as in csrc/layer.h.

    Returns:
        The last step's product, ``[batch, columns or more]``.
    """
    columns = weight.shape[1]
    packed = passes.packed(weight)
    added = weight.new_zeros(passes.padded(columns))
    if bias is not None:
        added[:columns] = bias
    product = weight.new_zeros(steps.batch, len(added))
    tensors |= {"weight": packed, "bias": added, "product": product}
    shares = steps.rows * weight.numel() // SHARE
    run_steps(function, _Arguments, steps, tensors, shares=shares, size=size, keeps=keeps)
    return product
