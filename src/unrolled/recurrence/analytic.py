"""Cells of one state whose backward pass over time is written out: forward and backward of a whole
layer with the fewest operations a step.

In these cells the gradient of every pre-activation of step t is dL/dh_t times a factor that is
known once the forward pass has run. All factors are computed for all steps at once, so that a step
of the backward pass is one elementwise product and one matrix product, where autograd needs one
operation for each of the cell's.
"""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from unrolled.cells.autocast import half_type
from unrolled.cells.base import Cell, State
from unrolled.cells.gated import GatedCell
from unrolled.cells.gru import GRU
from unrolled.cells.irnn import IRNN
from unrolled.cells.rnn_relu import RnnRelu
from unrolled.cells.rnn_tanh import RnnTanh
from unrolled.recurrence.products import PackedWeight
from unrolled.recurrence.steps import Steps


class Equations(ABC):
    """One cell's equations, as the layer's two passes want them.

    ``z`` is the projected input ``[rows, gates * hidden_size]``, ``u`` the recurrent product of
    the same width, ``h`` the state ``[rows, hidden_size]``.
    """

    # What the backward pass keeps of each step besides the states, in units of the hidden size.
    kept: int

    @staticmethod
    @abstractmethod
    def step(z: Tensor, u: Tensor, h: Tensor, kept: Tensor, out: Tensor) -> None:
        """Write the new state into ``out``, and what the backward pass needs into ``kept``."""

    @staticmethod
    @abstractmethod
    def factors(h: Tensor, kept: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """What dL/dh_t is multiplied by, for all steps at once.

        Args:
            h, y: the states before and after each step.

        Returns:
            To the gradient of ``u``, ``[rows, gates, hidden_size]``; to that of ``z`` likewise;
            and to what reaches the state before directly, None for nothing.
        """


class _Tanh(Equations):
    kept = 0

    @staticmethod
    def step(z: Tensor, u: Tensor, h: Tensor, kept: Tensor, out: Tensor) -> None:
        torch.add(z, u, out=out).tanh_()

    @staticmethod
    def factors(h: Tensor, kept: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        slope = (1 - y * y)[:, None]
        return slope, slope, None


class _ReLU(Equations):
    kept = 0

    @staticmethod
    def step(z: Tensor, u: Tensor, h: Tensor, kept: Tensor, out: Tensor) -> None:
        torch.add(z, u, out=out).relu_()

    @staticmethod
    def factors(h: Tensor, kept: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        slope = (y > 0).to(y.dtype)[:, None]
        return slope, slope, None


class _Gru(Equations):
    # The two gates, the candidate, and the part of the recurrent product that it reads.
    kept = 4

    @staticmethod
    def step(z: Tensor, u: Tensor, h: Tensor, kept: Tensor, out: Tensor) -> None:
        size = h.shape[-1]
        gates, new, read = kept.split([2 * size, size, size], -1)
        torch.add(z[:, : 2 * size], u[:, : 2 * size], out=gates).sigmoid_()
        read.copy_(u[:, 2 * size :])
        torch.addcmul(z[:, 2 * size :], gates[:, :size], read, out=new).tanh_()
        # n + z (h - n)
        torch.lerp(new, h, gates[:, size:], out=out)

    @staticmethod
    def factors(h: Tensor, kept: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        reset, update, new, read = kept.unflatten(-1, (4, -1)).unbind(1)
        to_new = (1 - update) * (1 - new * new)
        to_reset = to_new * read * reset * (1 - reset)
        to_update = (h - new) * update * (1 - update)
        return (
            torch.stack([to_reset, to_update, to_new * reset], 1),
            torch.stack([to_reset, to_update, to_new], 1),
            update,
        )


# By exact class: a subclass may have another step.
EQUATIONS: dict[type[Cell], type[Equations]] = {
    GRU: _Gru,
    IRNN: _ReLU,
    RnnRelu: _ReLU,
    RnnTanh: _Tanh,
}


def has_analytic(cell: Cell) -> bool:
    """Whether a cell's passes over time are written out."""
    return type(cell) in EQUATIONS


def analytic_steps(cell: Cell, z: Tensor, steps: Steps, state: State) -> tuple[State, State]:
    """All steps of a cell that ``has_analytic``.

    Under autocast the recurrent products are of its type, everything else is as without.

    Args:
        z: ``[rows, gates * hidden_size]``.
        state: before the first step, ``[batch, hidden_size]``.

    Returns:
        The states of all steps, ``[rows, hidden_size]``, and each sequence's final one.
    """
    assert isinstance(cell, GatedCell)
    half = half_type(z.device)
    y: Tensor = _Layer.apply(  # type: ignore[no-untyped-call]
        z, state[0], cell.weight_hh, cell.bias_hh, steps, EQUATIONS[type(cell)], half
    )
    # A copy, so that the last state does not keep all of them in memory.
    return (y,), (steps.final(y).clone(),)


class _Layer(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        z: Tensor,
        h: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        steps: Steps,
        equations: type[Equations],
        half: torch.dtype | None,
    ) -> Tensor:
        size = h.shape[-1]
        packed = PackedWeight(weight, bias, half)
        y = z.new_empty(len(z), size)
        kept = z.new_empty(len(z), equations.kept * size)
        now = h
        for z_t, kept_t, y_t in zip(
            steps.split(z), steps.split(kept), steps.split(y), strict=True
        ):
            now = now[: len(z_t)]
            equations.step(z_t, packed.product(now), now, kept_t, y_t)
            now = y_t
        ctx.steps, ctx.equations, ctx.packed = steps, equations, packed
        ctx.save_for_backward(h, kept, y)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_y: Tensor) -> tuple[Tensor | None, ...]:
        h, kept, y = ctx.saved_tensors
        steps, packed = ctx.steps, ctx.packed
        before = steps.previous(y, h)
        to_u, to_z, direct = ctx.equations.factors(before, kept, y)
        grad_u = torch.empty_like(to_u)
        # dL/dh of each step, all that reaches it.
        total = grad_y.clone()
        at_start = torch.zeros_like(h)
        spans = [steps.split(part) for part in (total, grad_u, to_u)]
        directs = steps.split(direct) if direct is not None else None
        for t in range(len(steps.sizes) - 1, -1, -1):
            total_t, grad_u_t, to_u_t = (part[t] for part in spans)
            torch.mul(to_u_t, total_t[:, None], out=grad_u_t)
            earlier = (spans[0][t - 1] if t > 0 else at_start)[: len(total_t)]
            earlier += packed.input_gradient(grad_u_t.flatten(1))
            if directs is not None:
                earlier.addcmul_(total_t, directs[t])
        grad_u = grad_u.flatten(1)
        grad_z = (to_z * total[:, None]).flatten(1) if to_z is not to_u else grad_u
        for_z, for_h, for_weight, for_bias = ctx.needs_input_grad[:4]
        return (
            grad_z if for_z else None,
            at_start if for_h else None,
            packed.gradient(before, grad_u) if for_weight else None,
            grad_u.sum(0) if for_bias else None,
            None,
            None,
            None,
        )
