"""A linear recurrence over all steps, ``s_t = a_t ⊙ s_{t-1} + b_t``, with an analytic backward
pass.

Both methods multiply by ``a`` and never divide by it nor take its logarithm, so nothing overflows
while ``|a| ≤ 1``. The gradient is the adjoint recurrence, backwards in time: with ``g_t`` the
gradient of ``s_t`` through the output, ``G_t = g_t + conj(a_{t+1}) ⊙ G_{t+1}``, ``∂b_t = G_t`` and
``∂a_t = G_t ⊙ conj(s_{t-1})``.
"""

from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from unrolled.recurrence.steps import Steps


class ScanMethod(Protocol):
    """A method to run the recurrence and its adjoint."""

    def states(self, a: Tensor, b: Tensor, initial: Tensor, steps: Steps) -> Tensor:
        """``s`` of all steps."""

    def adjoint(self, a: Tensor, grad: Tensor, steps: Steps) -> Tensor:
        """``G`` of all steps from ``g``."""


class SequentialScan:
    """One fused multiply-add in place after the other: on a CPU as fast as its memory is."""

    def states(self, a: Tensor, b: Tensor, initial: Tensor, steps: Steps) -> Tensor:
        out = torch.empty_like(b, memory_format=torch.contiguous_format)
        state = initial
        for a_t, b_t, out_t in zip(*map(steps.split, (a, b, out)), strict=True):
            state = torch.addcmul(b_t, a_t, state[: len(out_t)], out=out_t)
        return out

    def adjoint(self, a: Tensor, grad: Tensor, steps: Steps) -> Tensor:
        total = grad.clone(memory_format=torch.contiguous_format)
        a_s, totals = steps.split(a.conj()), steps.split(total)
        for t in range(len(totals) - 2, -1, -1):
            later = totals[t + 1]
            totals[t][: len(later)].addcmul_(a_s[t + 1], later)
        return total


class ParallelScan:
    """Hillis & Steele 1986: ``log2(time)`` rounds over all steps, each doubling the reach; a
    GPU launches tens of kernels and not thousands."""

    def states(self, a: Tensor, b: Tensor, initial: Tensor, steps: Steps) -> Tensor:
        a, b = steps.padded(a), steps.padded(b)
        b = torch.cat([torch.addcmul(b[0], a[0], initial)[None], b[1:]])
        return steps.packed(self._combine(a, b))

    def adjoint(self, a: Tensor, grad: Tensor, steps: Steps) -> Tensor:
        a, grad = steps.padded(a), steps.padded(grad)
        after = torch.cat([a[1:], torch.zeros_like(a[:1])]).conj()
        return steps.packed(self._combine(after.flip(0), grad.flip(0)).flip(0))

    def _combine(self, a: Tensor, b: Tensor) -> Tensor:
        """Every prefix of the maps ``s ↦ a s + b`` at zero, over ``[time, batch, size]``."""
        reach = 1
        while reach < len(b):
            b = torch.cat([b[:reach], torch.addcmul(b[reach:], a[reach:], b[:-reach])])
            a = torch.cat([a[:reach], a[reach:] * a[:-reach]])
            reach *= 2
        return b


def scan(
    a: Tensor, b: Tensor, initial: Tensor, steps: Steps, method: ScanMethod | None = None
) -> Tensor:
    """The states of all steps.

    Args:
        a, b: ``[rows, size]`` in the layout of ``steps``, real or complex; ``a`` may lack the
            rows.
        initial: ``[batch, size]``, the state before the first step.
        method: sequential on a CPU and parallel elsewhere, unless given.

    Returns:
        ``[rows, size]``.
    """
    if method is None:
        method = SequentialScan() if b.device.type == "cpu" else ParallelScan()
    dtype = torch.promote_types(torch.promote_types(a.dtype, b.dtype), initial.dtype)
    a, b, initial = (part.to(dtype) for part in (a, b, initial))
    states: Tensor = _Scan.apply(a.expand_as(b), b, initial, steps, method)  # type: ignore[no-untyped-call]
    return states


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, a: Tensor, b: Tensor, initial: Tensor, steps: Steps, method: ScanMethod
    ) -> Tensor:
        out = method.states(a, b, initial, steps)
        ctx.steps, ctx.method = steps, method
        ctx.save_for_backward(a, initial, out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        a, initial, out = ctx.saved_tensors
        steps: Steps = ctx.steps
        total = ctx.method.adjoint(a, grad, steps)
        before = slice(steps.batch)
        return (
            total * steps.previous(out, initial).conj() if ctx.needs_input_grad[0] else None,
            total if ctx.needs_input_grad[1] else None,
            a[before].conj() * total[before] if ctx.needs_input_grad[2] else None,
            None,
            None,
        )
