"""One cell over a span of time, by the backend that ``backends.choose`` gives."""

import torch
from torch import Tensor

from unrolled.cells.autocast import half_type
from unrolled.cells.base import Cell, State
from unrolled.cells.linear import LinearCell
from unrolled.recurrence.analytic import analytic_layer
from unrolled.recurrence.compiled import compiled_steps
from unrolled.recurrence.dropout import DrawnRegularization, RecurrentDropout, zoneout_masks
from unrolled.recurrence.generated import generated_layer
from unrolled.recurrence.interpolation import has_interpolation, interpolated
from unrolled.recurrence.lookup import Inputs, projected, vectors
from unrolled.recurrence.parameters import PassProducts, replaced_parameters, wrapped_parameters
from unrolled.recurrence.scan import scan
from unrolled.recurrence.steps import StateHistory, Steps


def run_layer(
    cell: Cell,
    x: Inputs,
    steps: Steps,
    state: State,
    backend: str,
    regularization: DrawnRegularization,
) -> tuple[Tensor, State]:
    """One cell over a span of time, in which some sequences may already be over.

    Args:
        x: ``[rows, input_size]``, or a lookup of as many, in the layout of ``steps``.
        state: of all sequences, ``[batch, size]`` for each part; with a window the inputs before
            the span as a last part.

    Returns:
        Outputs ``[rows, output_size]`` and the new state of all sequences.
    """
    now = tuple(part[: steps.batch] for part in state)
    before: State = ()
    if cell.window > 1:
        *parts, inputs = now
        now = tuple(parts)
        windows = [vectors(x)]
        for first in inputs.to(windows[0].dtype).split(cell.input_size, -1):
            windows.append(steps.previous(windows[-1], first))
        x = torch.cat(windows, -1)
        before = (steps.final(x)[:, : inputs.shape[-1]],)
    if backend == "native":
        with replaced_parameters(cell, regularization.weights):
            y, now = _native(cell, vectors(x), steps, now)
    elif backend == "analytic":
        with replaced_parameters(cell, regularization.weights):
            y, now = analytic_layer(cell, x, steps, now)
    elif backend == "generated":
        y, now = generated_layer(cell, x, steps, now, regularization)
    else:
        y, now = _recurrence(cell, x, steps, now, backend, regularization)
    now = (*now, *before)
    if steps.batch == state[0].shape[0]:
        return y, now
    pairs = zip(now, state, strict=True)
    return y, tuple(torch.cat([new, old[steps.batch :]]) for new, old in pairs)


def _native(cell: Cell, x: Tensor, steps: Steps, state: State) -> tuple[Tensor, State]:
    if not steps.regular:
        return cell.native(x, state, torch.tensor(steps.sizes))
    y, state = cell.native(steps.padded(x), state)
    return y.flatten(0, 1), state


def _recurrence(
    cell: Cell,
    x: Inputs,
    steps: Steps,
    state: State,
    backend: str,
    regularization: DrawnRegularization,
) -> tuple[Tensor, State]:
    """All steps' projection at once, the steps in order or by a scan, all steps' output at once.

    Args:
        x: ``[rows, window * input_size]``, or a lookup of as many.
    """
    dropout = regularization.recurrent_dropout
    products = PassProducts(dropout, cell.recurrent_weights)
    parameters = {**dict(cell.named_parameters()), **regularization.weights}
    # A program that is exported has PyTorch's own operations alone.
    if torch.compiler.is_exporting():
        parameters_given = replaced_parameters(cell, regularization.weights)
    else:
        parameters_given = wrapped_parameters(cell, products, regularization.weights)
    with parameters_given:
        z = projected(cell.project, x)
        if half_type(z.device) is not None:
            # Sums over time stay in fp32: a rate of decay near 1 is 1 in bf16.
            z = z.float()
        keep = None
        if regularization.zoneout:
            training = regularization.training
            keep = zoneout_masks(regularization.zoneout, state, steps.rows, training=training)
        # From here on what recurrent weights read is the state, of so many sequences.
        products.sequences = steps.batch
        if isinstance(cell, LinearCell) and (backend == "scan" or dropout is not None):
            states, state = _linear(cell, z, steps, state, keep, dropout, backend)
        elif backend == "compiled":
            states, state = compiled_steps(cell, z, steps, state, keep, products, parameters)
        else:
            states, state = _eager_steps(cell, z, steps, state, keep, products)
        return cell.output(z, states), state


def _eager_steps(
    cell: Cell, z: Tensor, steps: Steps, state: State, keep: State | None, products: PassProducts
) -> tuple[State, State]:
    """One step after the other.

    Args:
        z: ``[rows, projected size]``.
        state: before the first step, ``[batch, size]`` for each part.
        keep: zoneout's masks or rates for each part, ``[rows, size or 1]``.

    Returns:
        The states of all steps, ``[rows, size]`` for each part that the output reads, and each
        sequence's final state.
    """
    history = StateHistory(cell, state)
    kept = None if keep is None else [*zip(*map(steps.split, keep), strict=True)]
    for t, z_t in enumerate(steps.split(z)):
        products.sequences = z_t.shape[0]
        state = history.of_first(z_t.shape[0])
        new = cell.step(z_t, state)
        history.add(new if kept is None else cell.apply_zoneout(state, new, kept[t]))
    return history.states(), history.final()


def _linear(
    cell: LinearCell,
    z: Tensor,
    steps: Steps,
    state: State,
    keep: State | None,
    dropout: RecurrentDropout | None,
    backend: str,
) -> tuple[State, State]:
    """The states of all steps of a linear recurrence, and the last; as ``_eager_steps``."""
    s, given = cell.pack_state(state), None
    # Not where a subclass has coefficients of its own.
    plain = type(cell).coefficients is LinearCell.coefficients
    if plain and backend == "scan" and dropout is None and keep is None:
        given = cell.gate_and_candidate(z)
    if given is not None and has_interpolation(given, s):
        s = interpolated(given, s, steps)
        return cell.unpack_state(s), cell.unpack_state(steps.final(s).clone())
    a, b = cell.coefficients(z)
    if dropout is not None:
        b = steps.times(b, dropout.mask("b", b.real)[: steps.batch])
    if keep is not None:
        a, b = keep[0] + (1 - keep[0]) * a, (1 - keep[0]) * b
    if backend == "scan":
        s = scan(a, b, s, steps)
    else:
        rows = []
        for a_t, b_t in zip(steps.split(a.expand_as(b)), steps.split(b), strict=True):
            s = a_t * s[: len(b_t)] + b_t
            rows.append(s)
        s = torch.cat(rows)
    # A copy, so that the last state does not keep all of them in memory.
    return cell.unpack_state(s), cell.unpack_state(steps.final(s).clone())
