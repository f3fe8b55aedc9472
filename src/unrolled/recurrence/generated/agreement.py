"""Whether generated code gives what the step itself gives, tried on a few numbers.

A trace sees operations. It does not see where a step keeps its gradient from going (``no_grad``,
``.data``) or puts another in its place (a ``torch.autograd.Function``, as surrogate gradients are
written): the numbers do.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from unrolled.cells.base import Cell, State
from unrolled.recurrence.generated.layer import GeneratedLayer
from unrolled.recurrence.generated.tracing import UnsupportedStepError, tensors_of
from unrolled.recurrence.parameters import replaced_parameters
from unrolled.recurrence.steps import Steps

# Of the largest number of a tensor; rounding is a thousandth of it.
ALLOWED = 1e-3
STEPS = Steps([3, 3, 2])
Run = Callable[[Tensor, State, State, dict[str, Tensor]], list[Tensor]]


def require_agreement(cell: Cell, layer: GeneratedLayer) -> None:
    """Refuse code that is not its cell's step.

    Raises:
        UnsupportedStepError: states or gradients differ.
    """
    equations = layer.equations
    generator = torch.Generator().manual_seed(1)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    rows, batch = STEPS.rows, STEPS.batch
    with torch.autocast("cpu", enabled=False), torch.enable_grad():
        z = drawn(rows, equations.projected)
        # Within what any function of a state takes.
        state = tuple(0.1 + drawn(batch, size).abs() for size in equations.states)
        keep = tuple((drawn(rows, size) > 0).float() for size in equations.states)
        tensors = {
            name: one.detach() + 0.1 * drawn(*one.shape) for name, one in tensors_of(cell).items()
        }
        weights = [drawn(rows, size) for size in equations.states]
        kept = keep if equations.zoneout else ()
        try:
            expected = _results(_loop(cell), z, state, kept, tensors, weights)
        except Exception as error:
            why = str(error).strip().partition("\n")[0]
            raise UnsupportedStepError(f"it fails ({type(error).__name__}: {why})") from error
        found = _results(_generated(layer), z, state, kept, tensors, weights)
    for count, (one, other) in enumerate(zip(found, expected, strict=True)):
        scale = max(1e-3, float(other.nan_to_num(0.0, 0.0, 0.0).abs().max()))
        if not torch.allclose(one, other, rtol=0, atol=ALLOWED * scale, equal_nan=True):
            what = "state" if count < len(weights) else "gradient"
            raise UnsupportedStepError(f"its {what} is not that of the operations in it")


def _loop(cell: Cell) -> Run:
    def run(z: Tensor, state: State, keep: State, tensors: dict[str, Tensor]) -> list[Tensor]:
        states: list[State] = []
        kept = [*zip(*map(STEPS.split, keep), strict=True)]
        with replaced_parameters(cell, tensors):
            for t, z_t in enumerate(STEPS.split(z)):
                state = tuple(part[: len(z_t)] for part in state)
                new = cell.step(z_t, state)
                state = cell.apply_zoneout(state, new, kept[t]) if kept else new
                states.append(state)
        return [torch.cat(parts) for parts in zip(*states, strict=True)]

    return run


def _generated(layer: GeneratedLayer) -> Run:
    def run(z: Tensor, state: State, keep: State, tensors: dict[str, Tensor]) -> list[Tensor]:
        return [*layer.steps(z, STEPS, state, keep, tensors)[0]]

    return run


def _results(
    run: Run,
    z: Tensor,
    state: State,
    keep: State,
    tensors: dict[str, Tensor],
    weights: Sequence[Tensor],
) -> list[Tensor]:
    """The states of all steps, and the gradients of a weighted sum of them."""
    z, *parts = (one.clone().requires_grad_() for one in (z, *state))
    own = {name: one.clone().requires_grad_() for name, one in tensors.items()}
    states = run(z, tuple(parts), keep, own)
    total = torch.stack([(one * w).sum() for one, w in zip(states, weights, strict=True)]).sum()
    leaves = [z, *parts, *own.values()]
    if not total.requires_grad:
        return [*states, *map(torch.zeros_like, leaves)]
    grads = torch.autograd.grad(total, leaves, allow_unused=True, materialize_grads=True)
    return [*(one.detach() for one in states), *grads]
