"""A trained model as a ``torch.export`` program, and whether it computes what the run's does."""

import copy
import inspect
import logging
import re
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from unrolled.cells.base import Cell
from unrolled.data.batches import Batch
from unrolled.errors import ExportError
from unrolled.models import pooling
from unrolled.models.model import RecurrentModel
from unrolled.models.traced import CarryingModel, TracedModel, WholeModel
from unrolled.recurrence.fused_shapes import fused_shapes
from unrolled.recurrence.traced import Trace

# What two programs for the same arithmetic may differ by, relative to the largest score and
# absolute below 1: fp32's own rounding, over some hundred steps.
TOLERANCE = 1e-5
# How much of the validation split is compared.
STEPS, SEQUENCES = 64, 8

# What a program is called with.
Arguments = tuple[Any, ...]
# What computes scores from a program's arguments.
Scores = Callable[[Arguments], list[Tensor]]


@dataclass(frozen=True)
class Sample:
    """Real inputs, and the scores that the run's own model gives for them.

    Attributes:
        calls: a program's arguments, call after call.
        expected: of each call the scores, and where the state is carried the new state, part by
            part.
    """

    calls: list[Arguments] = field(default_factory=list)
    expected: list[list[Tensor]] = field(default_factory=list)

    def difference(self, scores: Scores) -> float:
        """The largest difference from what is expected, relative to the largest score where that
        is above 1."""
        largest = 0.0
        for call, expected in zip(self.calls, self.expected, strict=True):
            for found, wanted in zip(scores(call), expected, strict=True):
                # Equal infinities, such as an empty memory's logarithm, are no difference.
                off = torch.where(found == wanted, 0.0, (found - wanted).abs())
                scale = max(1.0, float(wanted[wanted.isfinite()].abs().amax()))
                largest = max(largest, float(off.amax()) / scale)
        return largest


def traced_model(model: RecurrentModel, trace: Trace, *, carries_state: bool) -> TracedModel:
    """The model as it goes into a graph."""
    model.requires_grad_(False)
    return (CarryingModel if carries_state else WholeModel)(model, trace)


def trace_of(model: RecurrentModel) -> Trace:
    """As the run's own model computes a step on a CPU; of many it may compile code of its own,
    which no graph has, and whose scores are the same to rounding."""
    chosen = model.recurrence.backend_on(torch.device("cpu"), SEQUENCES, 1)
    return Trace(fused=chosen == "native")


@torch.inference_mode()
def sample(model: RecurrentModel, batches: Sequence[Batch], *, carries_state: bool) -> Sample:
    """What the run's own model gives for the first sequences of some batches."""
    model.eval()
    result = Sample()
    states = None
    for batch in batches:
        inputs, lengths = batch.inputs[:, :SEQUENCES], batch.lengths
        if carries_state:
            parts = inputs[:STEPS].chunk(2) if len(inputs) > 1 else [inputs]
            for part in parts:
                before = states or model.recurrence.initial_states(
                    part.shape[1], next(model.parameters())
                )
                hidden, states = model(part, before)
                result.calls.append((part, [p for state in before for p in state]))
                result.expected.append(
                    [model.head.scores(hidden), *(p for state in states for p in state)]
                )
            return result
        own = None if lengths is None else lengths[: inputs.shape[1]]
        if own is not None and batch.padded == "left":
            inputs = pooling.aligned(inputs, own)
        if own is not None:
            inputs = inputs[: int(own.max())]
        hidden, _ = model(inputs, None, own)
        every = torch.full((inputs.shape[1],), len(inputs)) if own is None else own
        result.calls.append((inputs, every))
        result.expected.append([model.head.scores(hidden)])
    return result


def export(model: TracedModel, arguments: Arguments) -> ExportedProgram:
    """The program, whose batch and time stay open.

    Raises:
        ExportError: the model does something that no graph can hold; the message says where.
    """
    time, batch = Dim("time", min=1), Dim("batch", min=1)
    shapes: tuple[Any, ...] = ({0: time, 1: batch}, {0: batch})
    if isinstance(model, CarryingModel):
        shapes = (shapes[0], [shapes[1]] * len(arguments[1]))
    try:
        with torch.no_grad(), fused_shapes():
            program = torch.export.export(
                model,
                widened(arguments),
                dynamic_shapes=shapes,
                prefer_deferred_runtime_asserts_over_guards=True,
            )
    # The code of a person's own cell may raise anything here.
    except Exception as error:
        raise ExportError(
            f"cell {_cell(model).__name__} cannot be written as a torch.export program: "
            f"{place(model, error)}; take --weights-only, which writes weights, tokenizer and "
            "card, or write that part without decisions on values (torch.where)"
        ) from error
    # It would be a pickle in the file.
    program.example_inputs = None
    return program


def save(program: ExportedProgram, path: Path) -> None:
    """Write a program; no part of the file is a pickle."""
    # PyTorch warns of an empty list in the graph, whose type it does not know.
    serializer = logging.getLogger("torch._export.serde.serialize")
    level = serializer.level
    serializer.setLevel(logging.ERROR)
    try:
        torch.export.save(program, path)
    finally:
        serializer.setLevel(level)


def widened(arguments: Arguments) -> Arguments:
    """At least two steps and two sequences, since a size of one would be taken for a constant."""
    inputs, rest = arguments
    inputs = inputs if len(inputs) > 1 else torch.cat([inputs, inputs])
    if inputs.shape[1] > 1:
        return inputs, rest
    wide = [torch.cat([r, r]) for r in rest] if isinstance(rest, list) else torch.cat([rest, rest])
    return torch.cat([inputs, inputs], 1), wide


def scores_of(path: Path) -> Scores:
    """What a program's file computes."""
    module = torch.export.load(path).module()

    def scores(arguments: Arguments) -> list[Tensor]:
        with torch.inference_mode():
            given = module(*arguments)
        return [given] if isinstance(given, Tensor) else [given[0], *given[1]]

    return scores


def require_same(own: RecurrentModel, sample: Sample, difference: float, what: str) -> None:
    """Refuse a program that computes something else.

    Args:
        own: the run's own model.

    Raises:
        ExportError: its difference is above ``TOLERANCE`` and above what fp32 costs the run's own
            model, which may amplify its rounding from step to step.
    """
    if difference <= TOLERANCE:
        return
    limit = max(TOLERANCE, 2 * rounding(own, sample))
    # Not `>`: what is not a number is no agreement.
    if not difference <= limit:
        raise ExportError(
            f"{what} differs from the run's own model by {difference:.2g}, more than {limit:.2g}; "
            "it is not written"
        )


def rounding(own: RecurrentModel, sample: Sample) -> float:
    """How far a model's scores are from those of the same model in float64."""
    double = copy.deepcopy(own).double()

    def wide(part: Tensor) -> Tensor:
        return part.double() if part.is_floating_point() else part

    def scores(arguments: Arguments) -> list[Tensor]:
        inputs, rest = wide(arguments[0]), arguments[1]
        if isinstance(rest, Tensor):
            return [double.head.scores(double(inputs, None, rest)[0])]
        parts = map(wide, rest)
        states = tuple(
            tuple(next(parts) for _ in state)
            for state in double.recurrence.initial_states(1, inputs)
        )
        hidden, states = double(inputs, states)
        return [double.head.scores(hidden), *(part for state in states for part in state)]

    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad():
            return sample.difference(scores)
    finally:
        torch.set_default_dtype(default)


def place(model: TracedModel, error: Exception) -> str:
    """Where in the cell's own code tracing ended, and why, in a line."""
    cell = _cell(model)
    reason = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    reason = reason or type(error).__name__
    source = inspect.getsourcefile(cell)
    frames = [
        (frame.lineno, frame.name)
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == source
    ]
    # A loop's body is traced apart, and its frames are words in the message.
    frames += [
        (int(line), name)
        for file, line, name in re.findall(r'File "([^"]+)", line (\d+), in (\w+)', str(error))
        if file == source
    ]
    if not frames:
        return reason
    line, name = frames[-1]
    return f"{Path(str(source)).name}, line {line}, in {name}: {reason}"


def _cell(model: TracedModel) -> type[Cell]:
    cell = model.recurrence.cells[0]
    assert isinstance(cell, Cell)
    return type(cell)
