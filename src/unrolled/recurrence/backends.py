"""The ways to run a cell over time; each is exactly the cell."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from unrolled.cells.base import Cell, State
from unrolled.cells.linear import LinearCell
from unrolled.errors import ConfigError
from unrolled.recurrence import compiled
from unrolled.recurrence.dropout import ReadDropout, zoneout_masks
from unrolled.recurrence.eager import eager_steps
from unrolled.recurrence.scan import scan
from unrolled.recurrence.steps import Steps
from unrolled.recurrence.weights import Loop, lent

BACKENDS = ("auto", "native", "eager", "compiled", "scan")


@dataclass(frozen=True)
class Noise:
    """What disturbs one run of a cell over time.

    Attributes:
        zoneout: the share of the state that a step leaves as it was.
        training: whether zoneout draws masks, or keeps that share of every unit.
        reading: recurrent dropout, or None.
        weights: weights to use in place of the cell's own, by name: dropped ones.
    """

    zoneout: float = 0.0
    training: bool = False
    reading: ReadDropout | None = None
    weights: Mapping[str, Tensor] = field(default_factory=dict)


QUIET = Noise()


def choose(
    cell: Cell,
    backend: str,
    device: torch.device,
    *,
    zoneout: bool = False,
    recurrent_dropout: bool = False,
    batch: int = 1,
    unequal: bool = False,
) -> str:
    """The backend that ``auto`` stands for, or ``backend`` itself.

    Args:
        zoneout, recurrent_dropout: whether there is any.
        batch: how many sequences there are.
        unequal: whether their lengths differ.

    Raises:
        ConfigError: there is no such backend, or it cannot run this cell exactly.
    """
    if backend not in BACKENDS:
        raise ConfigError(f"cell.backend={backend}: choose one of {', '.join(BACKENDS)}")
    name = type(cell).__name__
    linear = isinstance(cell, LinearCell)
    why_not: dict[str, str | None] = dict.fromkeys(("native", "scan", "compiled", "eager"))
    if not cell.has_native:
        why_not["native"] = f"{name} has no fused kernel"
    elif zoneout or recurrent_dropout:
        noise = "model.zoneout" if zoneout else "model.recurrent_dropout"
        why_not["native"] = f"no fused kernel takes {noise}"
    if not linear:
        why_not["scan"] = f"{name} is not linear in its state (not a LinearCell)"
    if recurrent_dropout:
        why_not["compiled"] = "it cannot take model.recurrent_dropout"
    else:
        why_not["compiled"] = compiled.missing(device)
    if backend == "auto":
        # Compiling takes tens of seconds, which a loop on a CPU does not win back in a short run;
        # on a GPU the loop waits for the launch of every kernel.
        order = ["scan", "compiled", "eager"] if device.type == "cuda" else ["scan", "eager"]
        if cell.native_suits(device, batch=batch, unequal=unequal):
            order.insert(0, "native")
        return next(one for one in order if why_not[one] is None)
    if (reason := why_not[backend]) is not None:
        others = [one for one, why in why_not.items() if why is None]
        raise ConfigError(f"cell.backend={backend}: {reason}; take auto or {' or '.join(others)}")
    return backend


def run(
    cell: Cell, x: Tensor, steps: Steps, state: State, backend: str, noise: Noise = QUIET
) -> tuple[Tensor, State]:
    """All steps of time.

    Args:
        x: ``[rows, window * input_size]`` in the layout of ``steps``.
        state: a tensor ``[batch, size]`` for each of the cell's ``state_names``.
        backend: as ``choose`` gives it.

    Returns:
        Outputs ``[rows, output_size]`` and each sequence's final state.
    """
    loop = Loop(noise.reading, cell.recurrent_weights)
    parameters = {**dict(cell.named_parameters()), **noise.weights}
    with lent(cell, loop, noise.weights, plain=backend == "native"):
        if backend == "native":
            return _native(cell, x, steps, state)
        z = cell.project(x)
        keep = None
        if noise.zoneout:
            keep = zoneout_masks(noise.zoneout, state, steps.rows, training=noise.training)
            if isinstance(cell, LinearCell):
                # The parts of its state are one number, kept or renewed together.
                keep = tuple(keep[0] for _ in keep)
        loop.rows = steps.batch
        if isinstance(cell, LinearCell) and (backend == "scan" or noise.reading is not None):
            states, state = _linear(cell, z, steps, state, keep, noise.reading, backend)
        elif backend == "compiled":
            states, state = compiled.compiled_steps(cell, z, steps, state, keep, loop, parameters)
        else:
            states, state = eager_steps(cell, z, steps, state, keep, loop)
        return cell.output(z, states), state


def _native(cell: Cell, x: Tensor, steps: Steps, state: State) -> tuple[Tensor, State]:
    # bf16 autocast gives bf16 activations, and a carried fp32 state beside them.
    state = tuple(part.to(x.dtype) for part in state)
    if not steps.regular:
        return cell.native(x, state, torch.tensor(steps.sizes))
    y, state = cell.native(x.reshape(len(steps.sizes), steps.batch, -1), state)
    return y.flatten(0, 1), state


def _linear(
    cell: LinearCell,
    z: Tensor,
    steps: Steps,
    state: State,
    keep: State | None,
    reading: ReadDropout | None,
    backend: str,
) -> tuple[State, State]:
    """The states of all steps of a linear recurrence, and the last."""
    a, b = cell.coefficients(z)
    if reading is not None:
        b = steps.times(b, reading.mask("b", b.real)[: steps.batch])
    if keep is not None:
        a, b = keep[0] + (1 - keep[0]) * a, (1 - keep[0]) * b
    s = cell.enter(state)
    if backend == "scan":
        s = scan(a, b, s, steps)
    else:
        rows = []
        for a_t, b_t in zip(steps.split(a.expand_as(b)), steps.split(b), strict=True):
            s = a_t * s[: len(b_t)] + b_t
            rows.append(s)
        s = torch.cat(rows)
    # A copy, so that the last state does not keep all of them in memory.
    return cell.leave(s), cell.leave(steps.final(s).clone())
