"""A layer whose cell's equations became C: traced, compiled, and run in one call a pass."""

import ctypes
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from unrolled.cells.base import Cell, State
from unrolled.kernels.library import compiled, fields, library, threaded
from unrolled.kernels.packing import Packing
from unrolled.recurrence.c_steps import SHARED_OUT, run_steps
from unrolled.recurrence.generated.equations import Equations, trace
from unrolled.recurrence.generated.source import Source
from unrolled.recurrence.generated.tracing import UnsupportedStepError
from unrolled.recurrence.products import weight_gradient
from unrolled.recurrence.steps import Steps

# Multiplications for which another thread is worth waking, and how many a number of the state
# takes as long as.
SHARE, NUMBER = 2_000_000, 50


class _Arguments(ctypes.Structure):
    """``Work`` of csrc/generated.h; tensors are where they begin."""

    _fields_ = fields(*SHARED_OUT, "taken keeps", "table zeros product")


class GeneratedLayer:
    """A cell's steps in C.

    Args:
        zoneout: whether a share of each part of the state stays as it was.

    Raises:
        UnsupportedStepError: C cannot be generated for its step, or not compiled.
    """

    def __init__(self, cell: Cell, *, zoneout: bool = False) -> None:
        csrc = library()
        if csrc is None:
            raise UnsupportedStepError("it needs a C compiler, and there is none that works")
        self.equations = trace(cell, zoneout=zoneout)
        self.packing = Packing(csrc, torch.float32)
        widths = {n for one in self.equations.products for n in (one.reads, one.gives)}
        padded = {width: self.packing.padded(width) for width in widths}
        source = Source(self.equations, padded)
        try:
            made = compiled(source.text)
        except OSError as error:
            raise UnsupportedStepError(f"its C code does not compile: {error}") from error
        self.tensors = source.tensors
        self.forward, self.backward = threaded(made, "forward"), threaded(made, "backward")
        self.zeros = torch.zeros(max(padded.values(), default=1))
        self.product = ctypes.cast(csrc["product_fp32"], ctypes.c_void_p).value or 0
        self.multiplications = sum(one.reads * one.gives for one in self.equations.products)
        self.multiplications += NUMBER * sum(self.equations.states)

    def steps(
        self, z: Tensor, steps: Steps, state: State, keep: State, tensors: Mapping[str, Tensor]
    ) -> tuple[State, State]:
        """The states of all steps, ``[rows, size]`` a part, and each sequence's last.

        Args:
            z: ``[rows, projected size]``.
            state: before the first step, ``[batch, size]`` a part.
            keep: the shares that zoneout keeps, ``[rows, size]`` a part; none without.
            tensors: the cell's parameters and buffers.
        """
        given = self.equations.prepare(*(tensors[name] for name in self.equations.names))
        differentiated = torch.is_grad_enabled()
        states: State = _Layer.apply(  # type: ignore[no-untyped-call]
            self, steps, differentiated, keep, z, *state, *given
        )
        # Copies, so that the last state does not keep all of them in memory.
        return states, tuple(steps.final(part).clone() for part in states)

    def run(
        self, function: Any, steps: Steps, tensors: Mapping[str, Tensor | None], *, keeps: bool
    ) -> None:
        """One pass over all steps; tensors by their name in the code."""
        addresses = [
            None if (one := tensors.get(name)) is None else one.data_ptr() for name in self.tensors
        ]
        table = (ctypes.c_void_p * len(addresses))(*addresses)
        shares = steps.rows * self.multiplications // SHARE
        run_steps(
            *(function, _Arguments, steps, {"zeros": self.zeros}),
            shares=shares,
            keeps=keeps,
            table=ctypes.addressof(table),
            product=self.product,
        )


class _Layer(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        layer: GeneratedLayer,
        steps: Steps,
        differentiated: bool,
        keep: State,
        *given: Tensor,
    ) -> State:
        equations, packing = layer.equations, layer.packing
        z = given[0].contiguous()
        parts, read = given[1 : 1 + len(equations.states)], given[1 + len(equations.states) :]
        # The state before the first step, and those of all steps.
        states = [z.new_empty(steps.batch + len(z), size) for size in equations.states]
        for whole, part in zip(states, parts, strict=True):
            whole[: steps.batch] = part
        # Only what is differentiated needs more than one step's.
        rows = len(z) if differentiated else steps.batch
        products: list[Tensor] = []
        reads: list[Tensor | None] = []
        tensors: dict[str, Tensor | None] = {"z": z}
        for i, one in enumerate(equations.products):
            products.append(z.new_empty(rows, packing.padded(one.gives)))
            reads.append(None if one.state is not None else z.new_empty(rows, one.reads))
            tensors |= {
                f"weight {i}": packing.packed(read[one.matrix]),
                f"product {i}": products[i],
                f"read {i}": reads[i],
            }
        keep = tuple(one.contiguous() for one in keep)
        tensors |= {f"keep {k}": one for k, one in enumerate(keep)}
        tensors |= _states(states, steps.batch) | _vectors(equations, read)
        layer.run(layer.forward, steps, tensors, keeps=differentiated)
        ctx.layer, ctx.steps = layer, steps
        ctx.counts = len(keep), len(read), len(states), len(products)
        ctx.save_for_backward(z, *keep, *read, *states, *products, *reads)
        ctx.set_materialize_grads(False)
        return tuple(one[steps.batch :] for one in states)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        layer, steps = ctx.layer, ctx.steps
        equations, packing = layer.equations, layer.packing
        z, *saved = ctx.saved_tensors
        keep, read, states, products, reads = _split(saved, *ctx.counts)
        batch, tensors = steps.batch, {"z": z}
        if equations.projected_as is None:
            tensors["to z"] = torch.empty_like(z)
        tensors |= {f"keep {k}": one for k, one in enumerate(keep)}
        tensors |= _states(states, batch) | _vectors(equations, read)
        for i, one in enumerate(equations.products):
            tensors |= {
                f"weight back {i}": packing.packed(read[one.matrix].t()),
                f"product {i}": products[i],
                f"to product {i}": z.new_empty(len(z), one.gives),
                f"to read {i}": z.new_empty(batch, packing.padded(one.reads)),
            }
        for k, (size, grad) in enumerate(zip(equations.states, grads, strict=True)):
            tensors |= {
                f"given {k}": None if grad is None else grad.contiguous(),
                f"to new {k}": z.new_empty(batch, size),
                f"carried {k}": z.new_zeros(batch, size),
            }
        for i, place in enumerate(equations.vectors):
            size = math.prod(equations.given[place])
            tensors[f"to vector {i}"] = z.new_zeros(torch.get_num_threads(), size)
        layer.run(layer.backward, steps, tensors, keeps=True)
        to_given: list[Tensor | None] = [None] * len(read)
        wanted = ctx.needs_input_grad[-len(read) :]
        for i, one in enumerate(equations.products):
            if not wanted[one.matrix]:
                continue
            x = reads[i] if one.state is None else steps.before(states[one.state])
            # As a product's weight lies, which is its transpose.
            found = weight_gradient(x, tensors[f"to product {i}"]).t()
            before = to_given[one.matrix]
            to_given[one.matrix] = found if before is None else before + found
        for i, place in enumerate(equations.vectors):
            to_given[place] = tensors[f"to vector {i}"].sum(0).view(equations.given[place])
        of_z = "to z" if (i := equations.projected_as) is None else f"to product {i}"
        to_states = [tensors[f"carried {k}"] for k in range(len(states))]
        return (None, None, None, None, tensors[of_z], *to_states, *to_given)


def _states(states: list[Tensor], batch: int) -> dict[str, Tensor]:
    first = {f"first {k}": one for k, one in enumerate(states)}
    return first | {f"states {k}": one[batch:] for k, one in enumerate(states)}


def _vectors(equations: Equations, read: Any) -> dict[str, Tensor]:
    return {f"vector {i}": read[place].contiguous() for i, place in enumerate(equations.vectors)}


def _split(saved: list[Any], *counts: int) -> list[list[Any]]:
    """In so many each, and the rest."""
    groups, start = [], 0
    for count in counts:
        groups.append(saved[start : start + count])
        start += count
    return [*groups, saved[start:]]
