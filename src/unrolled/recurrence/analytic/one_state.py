"""Cells of one state: forward and backward of a whole layer.

In these cells the gradient of every pre-activation of step t is dL/dh_t times a factor that is
known once the forward pass has run. So a step of the backward pass is one elementwise product and
one matrix product, where autograd needs one operation for each of the cell's and a product for the
weight's gradient. The factors of several steps are computed at once: of so many that there are few
operations, and of so few that what they read and write stays in the processor's cache.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from itertools import repeat
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
from unrolled.recurrence.analytic.spans import SMALLEST_PRODUCT, cached_spans, first_rows
from unrolled.recurrence.products import PackedWeight
from unrolled.recurrence.steps import Steps

Parts = tuple[Tensor, ...]


class Equations(ABC):
    """One cell's equations, as the layer's two passes want them.

    ``z`` is the projected input, ``h`` the state ``[rows, hidden_size]``.
    """

    # In which parts a step reads ``z``, and which ones it keeps for the backward pass besides the
    # states, in units of the hidden size.
    read: tuple[int, ...] = (1,)
    kept: tuple[int, ...] = ()

    @staticmethod
    @abstractmethod
    def step(z: Parts, weight: PackedWeight, h: Tensor, kept: Parts, out: Tensor) -> None:
        """Write the new state into ``out``, and what the backward pass needs into ``kept``."""

    @staticmethod
    @abstractmethod
    def factors(h: Tensor, kept: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """What dL/dh_t is multiplied by, for several steps at once.

        Args:
            h, y: the states before and after each step.

        Returns:
            To the gradient of the recurrent product, ``[rows, gates, hidden_size]``; to that of
            ``z`` likewise; and to what reaches the state before directly, None for nothing.
        """


class _Tanh(Equations):
    @staticmethod
    def step(z: Parts, weight: PackedWeight, h: Tensor, kept: Parts, out: Tensor) -> None:
        weight.add_product(h, z[0], out).tanh_()

    @staticmethod
    def factors(h: Tensor, kept: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        slope = (1 - y * y)[:, None]
        return slope, slope, None


class _ReLU(Equations):
    @staticmethod
    def step(z: Parts, weight: PackedWeight, h: Tensor, kept: Parts, out: Tensor) -> None:
        weight.add_product(h, z[0], out).relu_()

    @staticmethod
    def factors(h: Tensor, kept: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        slope = (y > 0).to(y.dtype)[:, None]
        return slope, slope, None


class _Gru(Equations):
    read = (2, 1)
    # The two gates, the candidate, and the part of the recurrent product that it reads.
    kept = (2, 1, 1)

    @staticmethod
    def step(z: Parts, weight: PackedWeight, h: Tensor, kept: Parts, out: Tensor) -> None:
        (z_gates, z_new), (gates, new, read) = z, kept
        size = h.shape[-1]
        u_gates, u_new = weight.product(h).split([2 * size, size], -1)
        reset, update = torch.add(z_gates, u_gates, out=gates).sigmoid_().chunk(2, -1)
        read.copy_(u_new)
        torch.addcmul(z_new, reset, read, out=new).tanh_()
        # n + z (h - n)
        torch.lerp(new, h, update, out=out)

    @staticmethod
    def factors(h: Tensor, kept: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        reset, update, new, read = kept.unflatten(-1, (4, -1)).unbind(1)
        to_new = (1 - update) * (1 - new * new)
        to_reset = to_new * read * (reset - reset * reset)
        to_update = (h - new) * (update - update * update)
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


def one_state_steps(cell: Cell, z: Tensor, steps: Steps, state: State) -> State:
    """The state of all steps of a cell of ``EQUATIONS``, ``[rows, hidden_size]``."""
    assert isinstance(cell, GatedCell)
    half = half_type(z.device)
    y: Tensor = _Layer.apply(  # type: ignore[no-untyped-call]
        z,
        state[0],
        cell.weight_hh,
        cell.bias_hh,
        steps,
        EQUATIONS[type(cell)],
        half,
        torch.is_grad_enabled(),
    )
    return (y,)


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
        differentiated: bool,
    ) -> Tensor:
        size = h.shape[-1]
        packed = PackedWeight(weight, bias, half, smallest=SMALLEST_PRODUCT)
        y = z.new_empty(len(z), size)
        # Only what is differentiated needs more than one step's.
        kept = z.new_empty(len(z) if differentiated else len(h), sum(equations.kept) * size)
        now = h
        for z_t, kept_t, y_t in zip(
            _parts(steps, z, equations.read),
            _parts(steps, kept, equations.kept),
            steps.split(y),
            strict=True,
        ):
            equations.step(z_t, packed, first_rows(now, len(y_t)), kept_t, y_t)
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
        gates = len(packed.weight) // y.shape[-1]
        grad_u = y.new_empty(len(y), gates, y.shape[-1])
        # dL/dh of each step, all that reaches it.
        total = grad_y.clone()
        at_start = torch.zeros_like(h)
        # Views are cheap, but not for a step that takes a few microseconds.
        grad_u_of, flat_of = steps.split(grad_u), steps.split(grad_u.flatten(1))
        total_of, spread_of = steps.split(total), steps.split(total[:, None])
        grad_z: Tensor | None = None
        for span, rows in reversed([*cached_spans(steps, y.shape[-1])]):
            some = steps.span(span.start, span.stop)
            to_u, to_z, direct = ctx.equations.factors(before[rows], kept[rows], y[rows])
            to_u_of = some.split(to_u)
            direct_of = None if direct is None else some.split(direct)
            for t in reversed(span):
                torch.mul(to_u_of[t - span.start], spread_of[t], out=grad_u_of[t])
                earlier = first_rows(total_of[t - 1] if t > 0 else at_start, steps.sizes[t])
                packed.add_input_gradient(flat_of[t], earlier)
                if direct_of is not None:
                    earlier.addcmul_(total_of[t], direct_of[t - span.start])
            if to_z is not to_u:
                grad_z = torch.empty_like(grad_u) if grad_z is None else grad_z
                torch.mul(to_z, total[rows, None], out=grad_z[rows])
        grad_u = grad_u.flatten(1)
        for_z, for_h, for_weight, for_bias = ctx.needs_input_grad[:4]
        return (
            (grad_u if grad_z is None else grad_z.flatten(1)) if for_z else None,
            at_start if for_h else None,
            packed.gradient(before, grad_u) if for_weight else None,
            grad_u.sum(0) if for_bias else None,
            None,
            None,
            None,
            None,
        )


def _parts(steps: Steps, x: Tensor, widths: tuple[int, ...]) -> Iterable[Parts]:
    """Of each step, parts of so many times the hidden size; where ``x`` is of one step, the same
    of all."""
    if not widths:
        return repeat((), len(steps.sizes))
    size = x.shape[-1] // sum(widths)
    columns = x.split([width * size for width in widths], -1)
    if len(x) == steps.rows:
        return zip(*map(steps.split, columns), strict=True)
    return (tuple(first_rows(part, rows) for part in columns) for rows in steps.sizes)
