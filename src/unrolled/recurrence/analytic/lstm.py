"""The LSTM: forward and backward of a whole layer.

The gradient of the pre-activations of i, f and g is dL/dc_t times factors that are known once the
forward pass has run, and that of o is dL/dh_t times another; as for cells of one state, the
factors of several steps are computed at once.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from unrolled.cells.autocast import half_type
from unrolled.cells.base import Cell, State
from unrolled.cells.lstm import LSTM
from unrolled.recurrence.analytic.spans import SMALLEST_PRODUCT, cached_spans, first_rows
from unrolled.recurrence.products import PackedWeight
from unrolled.recurrence.steps import Steps


def lstm_steps(cell: Cell, z: Tensor, steps: Steps, state: State) -> State:
    """``h`` and ``c`` of all steps of an LSTM without a projection, ``[rows, hidden_size]``."""
    assert isinstance(cell, LSTM)
    states: State = _Layer.apply(  # type: ignore[no-untyped-call]
        z,
        *state,
        cell.weight_hh,
        cell.bias_hh,
        steps,
        half_type(z.device),
        torch.is_grad_enabled(),
    )
    return states


class _Layer(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        z: Tensor,
        h: Tensor,
        c: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        steps: Steps,
        half: torch.dtype | None,
        differentiated: bool,
    ) -> tuple[Tensor, Tensor]:
        size = h.shape[-1]
        packed = PackedWeight(weight, bias, half, smallest=SMALLEST_PRODUCT)
        y, memory = z.new_empty(len(z), size), z.new_empty(len(z), size)
        # Only what is differentiated needs more than one step's.
        gates = z.new_empty(len(z) if differentiated else len(h), 4 * size)
        gates_of = steps.split(gates) if differentiated else [gates[:rows] for rows in steps.sizes]
        now_h, now_c = h, c
        for z_t, gates_t, y_t, c_t in zip(
            steps.split(z), gates_of, steps.split(y), steps.split(memory), strict=True
        ):
            rows = len(y_t)
            packed.add_product(first_rows(now_h, rows), z_t, gates_t)
            i_and_f, g, o = gates_t.split([2 * size, size, size], -1)
            i, f = i_and_f.sigmoid_().chunk(2, -1)
            torch.mul(f, first_rows(now_c, rows), out=c_t).addcmul_(i, g.tanh_())
            torch.tanh(c_t, out=y_t).mul_(o.sigmoid_())
            now_h, now_c = y_t, c_t
        ctx.steps, ctx.packed = steps, packed
        ctx.save_for_backward(h, c, gates, y, memory)
        ctx.set_materialize_grads(False)
        return y, memory

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_y: Tensor | None, grad_c: Tensor | None) -> tuple[Any, ...]:
        h, c, gates, y, memory = ctx.saved_tensors
        steps, packed = ctx.steps, ctx.packed
        size = y.shape[-1]
        before_h, before_c = steps.previous(y, h), steps.previous(memory, c)
        grad_u = y.new_empty(len(y), 4, size)
        # dL/dh of each step, all that reaches it; and dL/dc of the step that is under way.
        total_h = torch.zeros_like(y) if grad_y is None else grad_y.clone()
        total_c = torch.zeros_like(c)
        at_start = torch.zeros_like(h)
        # Views are cheap, but not for a step that takes a few microseconds.
        total_of, flat_of = steps.split(total_h), steps.split(grad_u.flatten(1))
        by_c_of, by_h_of = steps.split(grad_u[:, :3]), steps.split(grad_u[:, 3])
        given_of = None if grad_c is None else steps.split(grad_c)
        for span, rows in reversed([*cached_spans(steps, size)]):
            some = steps.span(span.start, span.stop)
            factors = _factors(gates[rows], memory[rows], before_c[rows])
            to_c, by_c, by_h, keeps = map(some.split, factors)
            for t in reversed(span):
                at = t - span.start
                now_c = first_rows(total_c, steps.sizes[t])
                if given_of is not None:
                    now_c += given_of[t]
                now_c.addcmul_(total_of[t], to_c[at])
                torch.mul(by_c[at], now_c[:, None], out=by_c_of[t])
                torch.mul(by_h[at], total_of[t], out=by_h_of[t])
                earlier = first_rows(total_of[t - 1] if t > 0 else at_start, steps.sizes[t])
                packed.add_input_gradient(flat_of[t], earlier)
                now_c.mul_(keeps[at])
        grad_u = grad_u.flatten(1)
        for_z, for_h, for_c, for_weight, for_bias = ctx.needs_input_grad[:5]
        return (
            grad_u if for_z else None,
            at_start if for_h else None,
            total_c if for_c else None,
            packed.gradient(before_h, grad_u) if for_weight else None,
            grad_u.sum(0) if for_bias else None,
            None,
            None,
            None,
        )


def _factors(gates: Tensor, memory: Tensor, before: Tensor) -> tuple[Tensor, ...]:
    """What gradients of several steps are multiplied by.

    Args:
        gates: i, f, g and o, ``[rows, 4 * hidden_size]``.
        memory, before: c after and before each step.

    Returns:
        dL/dh to dL/dc of the same step; dL/dc to those of i, f and g, ``[rows, 3, hidden_size]``;
        dL/dh to that of o; dL/dc to that of the step before.
    """
    i, f, g, o = gates.chunk(4, -1)
    squashed = memory.tanh()
    by_c = torch.stack([g * (i - i * i), before * (f - f * f), i - i * g * g], 1)
    return o - o * squashed * squashed, by_c, squashed * (o - o * o), f
