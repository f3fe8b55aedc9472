"""All steps of a state that moves towards a candidate by a gate that reads the input alone,
``s_t = (1 - u_t) ⊙ s_{t-1} + u_t ⊙ c_t`` with ``u_t = σ(g_t)``, in C on a CPU.

PyTorch's operations would read and write all steps a dozen times; here each pass does it once.
"""

import ctypes
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from unrolled.kernels.library import fields, is_traced, library, threaded
from unrolled.recurrence.c_steps import SHARED_OUT, run_steps
from unrolled.recurrence.steps import Steps

# Numbers for which another thread is worth waking.
SHARE = 50_000


class _Arguments(ctypes.Structure):
    """``Interpolation`` of csrc/interpolation.c; tensors are where they begin."""

    _fields_ = fields(
        *SHARED_OUT,
        "taken",
        "given first out to_out carried to_given",
    )


def has_interpolation(given: Tensor, initial: Tensor) -> bool:
    """Whether ``interpolated`` takes these."""
    types = {given.dtype, initial.dtype} == {torch.float32}
    if not types or given.device.type != "cpu" or is_traced():
        return False
    return library() is not None


def interpolated(given: Tensor, initial: Tensor, steps: Steps) -> Tensor:
    """``s`` of all steps, ``[rows, size]``.

    Args:
        given: ``g`` and ``c`` of all steps side by side, ``[rows, 2 * size]``.
        initial: ``[batch, size]``, the state before the first step.
    """
    states: Tensor = _Interpolation.apply(given, initial, steps)  # type: ignore[no-untyped-call]
    return states


class _Interpolation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, given: Tensor, initial: Tensor, steps: Steps) -> Tensor:
        given, first = given.contiguous(), initial.contiguous()
        out = given.new_empty(len(given), first.shape[-1])
        _run("interpolation_forward", steps, given=given, first=first, out=out)
        ctx.steps = steps
        ctx.save_for_backward(given, first, out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        given, first, out = ctx.saved_tensors
        to_given, carried = torch.empty_like(given), torch.zeros_like(first)
        _run(
            *("interpolation_backward", ctx.steps),
            given=given,
            first=first,
            out=out,
            to_out=grad.contiguous(),
            carried=carried,
            to_given=to_given,
        )
        return to_given, carried, None


def _run(name: str, steps: Steps, **tensors: Tensor) -> None:
    csrc, out = library(), tensors["out"]
    assert csrc is not None
    shares = out.numel() // SHARE
    run_steps(threaded(csrc, name), _Arguments, steps, tensors, shares=shares, size=out.shape[-1])
