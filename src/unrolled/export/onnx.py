"""A trained model as an ONNX file, and what ONNX Runtime computes by it."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from unrolled.errors import ExportError
from unrolled.export.program import Arguments, Scores, export, place
from unrolled.models.traced import CarryingModel, TracedModel


def write_onnx(model: TracedModel, arguments: Arguments, path: Path) -> None:
    """Write the file; its inputs and outputs have the program's names, time and batch open.

    Raises:
        ExportError: an operation has no form in ONNX; the message names it.
    """
    program = export(model, arguments)
    inputs, outputs = names(model)
    try:
        with _quiet():
            made = torch.onnx.export(
                program,
                input_names=inputs,
                output_names=outputs,
                dynamo=True,
                verbose=False,
            )
            assert made is not None
            made.save(path)
    except Exception as error:
        raise ExportError(
            f"the model cannot be converted to ONNX: {_reason(model, error)}; leave out --onnx, "
            "the torch.export program has the whole model"
        ) from error


def names(model: TracedModel) -> tuple[list[str], list[str]]:
    """What goes in and what comes out, in order; a state has the same name in both, the new one
    with ``new_`` before it."""
    if not isinstance(model, CarryingModel):
        return ["inputs", "lengths"], ["scores"]
    states = model.state_names()
    return ["inputs", *states], ["scores", *(f"new_{name}" for name in states)]


def runtime_scores(path: Path) -> Scores:
    """What ONNX Runtime computes by a file."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # Errors alone: it warns of what its own optimizer removes.
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    inputs = [one.name for one in session.get_inputs()]

    def scores(arguments: Arguments) -> list[Tensor]:
        first, rest = arguments
        tensors = [first, *(rest if isinstance(rest, list) else [rest])]
        known = zip(inputs, tensors, strict=True)
        given = session.run(None, {name: tensor.numpy() for name, tensor in known})
        return [torch.from_numpy(one) for one in given]

    return scores


def _reason(model: TracedModel, error: Exception) -> str:
    """The operation without a form in ONNX, or whatever the exporter says."""
    cause: BaseException | None = error
    said = []
    while cause is not None:
        said.append(str(cause))
        cause = cause.__cause__
    for text in said:
        _, found, rest = text.partition("target=")
        if found:
            return f"{rest.partition(']')[0]} has no form there"
    return place(model, error)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter prints its progress, and warns of packages that are no part of this."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        logging.disable(before)
