"""Measurements as numbers, figures and sentences."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from unrolled.data.text_tokenizer import TextTokenizer
from unrolled.diagnostics.differences import Difference, largest
from unrolled.diagnostics.dynamics import dynamics, memory_capacity
from unrolled.diagnostics.gates import LONGEST, CellUse, cell_use
from unrolled.diagnostics.gradients import GradientFlow
from unrolled.diagnostics.memory import MemoryLength
from unrolled.diagnostics.sample import TokenStream
from unrolled.diagnostics.trajectory import CellTrace
from unrolled.errors import CellError
from unrolled.models.model import RecurrentModel
from unrolled.runs.figures import Curve, Figure, Matrix, to_plain

# Tokens that are shown.
SHOWN = 10


@dataclass
class Diagnosis:
    """What was found.

    Attributes:
        numbers: by names such as ``gradients/slope_after_training``; a layer's own have it in
            their name.
        figures: by name.
        units: for each cell and gate what its units do, ``[units]`` each.
        gains: the tokens whose prediction gains most from far context.
        notes: sentences on what could not be found, and why.
    """

    numbers: dict[str, float] = field(default_factory=dict)
    figures: dict[str, Figure] = field(default_factory=dict)
    units: dict[str, dict[str, dict[str, list[float]]]] = field(default_factory=dict)
    gains: list[Difference] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def to_plain(self) -> dict[str, Any]:
        """Plain containers, for a file."""
        figures = {name: to_plain(figure) for name, figure in self.figures.items()}
        gains = [asdict(gain) for gain in self.gains]
        return {
            "figures": figures,
            "numbers": self.numbers,
            "units": self.units,
            "gains": gains,
            "notes": self.notes,
        }


def add_flow(found: Diagnosis, flow: GradientFlow, when: str) -> None:
    """The gradient's norm by lag, ``at initialization`` or ``after training``."""
    key = when.replace(" ", "_")
    if not np.isfinite(flow.whole).all():
        found.notes.append(f"the gradient {when} is not finite: it overflows within the sequence")
    elif len(flow.whole) < 3:
        found.notes.append(
            f"the gradient {when} has no lags to be followed over: sequences are too short"
        )
    elif not flow.whole[0] > 0:
        found.notes.append(f"the gradient {when} is zero: no state that is read changes the loss")
    found.numbers[f"gradients/slope_{key}"] = flow.slope
    found.numbers[f"gradients/reach_{key}"] = flow.reach
    if len(flow.norms) > 1:
        for cell, norms in flow.norms.items():
            slope = GradientFlow({}, norms).slope
            found.numbers[f"gradients/slope_{key}_{cell.replace(' ', '_')}"] = slope
    found.figures[f"gradient_flow_{key}"] = Curve(
        [*map(float, range(len(flow.whole)))],
        flow.whole.tolist(),
        "steps back, k",
        "mean norm of d loss(t) / d state(t - k)",
        {},
        logarithmic=True,
    )


def add_gates(found: Diagnosis, traces: Sequence[CellTrace], rows: Tensor | None) -> None:
    """What each cell's gates do.

    Args:
        rows: which steps are not padding, ``[time, batch]``; None: all.
    """
    uses: dict[str, CellUse] = {}
    for trace in traces:
        try:
            uses[trace.name] = cell_use(trace, rows)
        except CellError as error:
            found.notes.append(f"gates: {error}")
            return
    name = type(traces[0].cell).__name__
    one = next(iter(uses.values()))
    if not one.gates:
        found.notes.append(f"{name} has no gates")
    elif not one.named:
        found.notes.append(
            f"{name} does not name its gates (gating): its sigmoids are numbered in their order"
        )
    constants = [use.time_constants for use in uses.values() if use.time_constants is not None]
    table: dict[str, list[float]] = {}
    for cell, use in uses.items():
        key = cell.replace(" ", "_")
        for gate, of in use.gates.items():
            found.numbers[f"gates/{key}/{gate}/mean_opening"] = float(of.opening.mean())
            found.numbers[f"gates/{key}/{gate}/under_0.1"] = float(of.closed.mean())
            found.numbers[f"gates/{key}/{gate}/over_0.9"] = float(of.opened.mean())
            found.numbers[f"gates/{key}/{gate}/stuck_units"] = of.stuck
            closed, opened = float(of.closed.mean()), float(of.opened.mean())
            table[f"{cell} {gate}"] = [closed, 1 - closed - opened, opened]
            found.units.setdefault(key, {})[gate] = {
                "opening": of.opening.tolist(),
                "under_0.1": of.closed.tolist(),
                "over_0.9": of.opened.tolist(),
            }
        found.numbers[f"gates/{key}/dead_units"] = use.dead
        if use.time_constants is not None:
            found.numbers[f"gates/{key}/median_time_constant"] = float(
                np.median(use.time_constants)
            )
            found.numbers[f"gates/{key}/largest_time_constant"] = float(use.time_constants.max())
            found.units.setdefault(key, {})["memory"] = {
                "time_constant": use.time_constants.tolist()
            }
    if table:
        columns = ["under 0.1", "between", "over 0.9"]
        values = [*table.values()]
        found.figures["gates"] = Matrix([*table], columns, values, "gate", "share of unit-steps")
    if constants:
        ordered = np.sort(np.concatenate(constants))
        shares = np.linspace(0, 1, len(ordered)) if len(ordered) > 1 else np.zeros(1)
        title = "time constant, steps"
        if ordered[-1] == LONGEST:
            title += f" (at most {LONGEST:.0e})"
        found.figures["time_constants"] = Curve(
            shares.tolist(), ordered.tolist(), "share of units", title, {}, logarithmic=True
        )


def add_dynamics(
    found: Diagnosis,
    model: RecurrentModel,
    traces: Sequence[CellTrace],
    rows: Tensor | None,
    tokens: int,
) -> None:
    """Exponents, spectral radius and effective rank of each cell, and the memory capacity.

    Args:
        rows: which steps are not padding, ``[time, batch]``; None: all.
        tokens: how many random inputs are read for the capacity.
    """
    exponents: list[float] = []
    for trace in traces:
        key = trace.name.replace(" ", "_")
        try:
            of = dynamics(trace, rows)
        except FloatingPointError as error:
            found.notes.append(f"dynamics: {error}")
            continue
        found.numbers[f"dynamics/{key}/lyapunov_exponent"] = float(of.exponents[0])
        if of.spectral_radius is not None:
            found.numbers[f"dynamics/{key}/spectral_radius"] = of.spectral_radius
        found.numbers[f"dynamics/{key}/effective_rank"] = of.effective_rank
        exponents += of.exponents.tolist()
    finite = sorted((e for e in exponents if np.isfinite(e)), reverse=True)
    if finite:
        found.figures["lyapunov_exponents"] = Curve(
            [*map(float, range(1, len(finite) + 1))], finite, "index", "Lyapunov exponent", {}
        )
    if model.recurrence.directions == 2:
        found.notes.append("memory capacity needs a model that reads in one direction")
        return
    # What the encoder gives, without the earlier inputs of a window.
    encoded = traces[0].x[..., : traces[0].cell.input_size].detach()
    capacity = memory_capacity(
        model, encoded.flatten(0, 1) if rows is None else encoded[rows], tokens
    )
    if not np.isfinite(capacity).all():
        found.notes.append("memory capacity: the states of random inputs are not finite")
        return
    found.numbers["dynamics/memory_capacity"] = float(capacity.sum())
    found.figures["memory_capacity"] = Curve(
        [*map(float, range(1, len(capacity) + 1))],
        capacity.tolist(),
        "steps back, k",
        "variance of a random input that is recovered",
        {},
    )


def add_memory(
    found: Diagnosis, of: MemoryLength, stream: TokenStream, tokenizer: TextTokenizer | None
) -> None:
    """How much context is used, by which tokens, and whether its order matters."""
    if not np.isfinite(of.losses).all():
        found.notes.append("memory length: the loss is not finite")
        return
    numbers = found.numbers
    numbers["memory/length"] = of.length()
    for group in of.groups:
        numbers[f"memory/length_of_{group}_tokens"] = of.length(group)
    if (order := of.order_length) is not None:
        numbers["memory/length_of_order"] = order
    numbers["memory/loss_with_all"] = float(of.means[-1])
    numbers["memory/gain_beyond_10_tokens"] = float(of.gains.mean())
    xs = [*map(float, of.contexts)]
    figures = found.figures
    loss = "loss, nats per token"
    figures["memory_length"] = Curve(xs, of.means.tolist(), "tokens of context", loss, {})
    for group, members in of.groups.items():
        figures[f"memory_length_of_{group}_tokens"] = Curve(
            xs, of.losses[:, members].mean(1).tolist(), "tokens of context", loss, {}
        )
    if of.kept:
        figures["shuffled_context"] = Curve(
            [*map(float, of.kept)],
            (of.shuffled - of.unshuffled).tolist(),
            "tokens in order, those further back shuffled",
            "added loss, nats per token",
            {},
        )
    figures["loss_by_position"] = _by_position(of.by_position.tolist(), loss)
    if tokenizer is not None:
        found.gains = largest(of.gains, of.places, stream.ids, tokenizer, SHOWN)


def _by_position(losses: Sequence[float], title: str) -> Curve:
    """The loss at each position, means over ever longer stretches: single positions are noisy."""
    edges = sorted({round(1.25**i) for i in range(60) if 1.25**i <= len(losses)} | {len(losses)})
    starts = [0, *edges[:-1]]
    ys = [float(np.mean(losses[a:b])) for a, b in zip(starts, edges, strict=True)]
    return Curve([*map(float, edges)], ys, "position after the initial state", title, {})
