"""Layers of any cell on a CPU by C code that is generated from its step.

``tracing`` and ``equations`` take the step's products out of it, ``segments`` and ``source``
write what is left as C, ``layer`` compiles and runs it, ``agreement`` tries it. It takes a quarter
of a second for a new cell or size, and less where the code is in the cache.
"""

from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from unrolled.cells.base import Cell, State
from unrolled.errors import ConfigError
from unrolled.kernels.library import is_traced
from unrolled.recurrence.dropout import DrawnRegularization, zoneout_masks
from unrolled.recurrence.generated.agreement import require_agreement
from unrolled.recurrence.generated.layer import GeneratedLayer
from unrolled.recurrence.generated.tracing import UnsupportedStepError, tensors_of
from unrolled.recurrence.lookup import Inputs, projected
from unrolled.recurrence.parameters import PassProducts, wrapped_parameters
from unrolled.recurrence.steps import Steps

# What a cell's constants may be; a step that reads another one is traced again.
CONSTANTS = (bool, int, float, str, tuple, type(None))

# What has been made of each cell, or why nothing can be, by all that a trace depends on.
_made: "WeakKeyDictionary[Cell, dict[Any, GeneratedLayer | str]]" = WeakKeyDictionary()


def missing(cell: Cell, device: torch.device, *, zoneout: bool = False) -> str | None:
    """Why no code can be generated for a cell on this device; None where it can."""
    if device.type == "meta":
        return None
    if device.type != "cpu":
        return f"it is not made for the device {device.type}"
    if is_traced():
        return "PyTorch traces the step itself here"
    made = _layer(cell, zoneout)
    return made if isinstance(made, str) else None


def generated_layer(
    cell: Cell, x: Inputs, steps: Steps, state: State, regularization: DrawnRegularization
) -> tuple[Tensor, State]:
    """All steps of a cell that nothing is ``missing`` of.

    Under autocast the projection and the output are of its type, and all steps in fp32.

    Args:
        x: ``[rows, window * input_size]``, or a lookup of as many.
        state: before the first step, ``[batch, size]`` for each part.
        regularization: without recurrent dropout.

    Returns:
        Outputs ``[rows, output_size]``, and each sequence's final state.

    Raises:
        ConfigError: there is no code for it.
    """
    rate, weights = regularization.zoneout, regularization.weights
    layer = _layer(cell, rate > 0)
    if isinstance(layer, str):
        raise ConfigError(f"{layer}; set cell.backend=eager")
    tensors = {**tensors_of(cell), **weights}
    with wrapped_parameters(cell, PassProducts(), weights):
        z = projected(cell.project, x).float()
        keep: State = ()
        if rate:
            keep = zoneout_masks(rate, state, steps.rows, training=regularization.training)
            keep = tuple(
                one.expand(-1, part.shape[-1]) for one, part in zip(keep, state, strict=True)
            )
        with torch.autocast("cpu", enabled=False):
            states, final = layer.steps(z, steps, state, keep, tensors)
        return cell.output(z, states), final


def _layer(cell: Cell, zoneout: bool) -> GeneratedLayer | str:
    made = _made.setdefault(cell, {})
    key = (zoneout, *map(_constants, cell.modules()))
    if key not in made:
        try:
            # An evaluation may be the first to ask, and what is made is for training, too.
            with torch.inference_mode(False):
                layer = GeneratedLayer(cell, zoneout=zoneout)
                require_agreement(cell, layer)
            made[key] = layer
        except UnsupportedStepError as error:
            made[key] = f"no C code for the step of {type(cell).__name__}: {error}"
    return made[key]


def _constants(module: nn.Module) -> tuple[Any, ...]:
    tensors = (*module._parameters.values(), *module._buffers.values())
    return (
        *((one.shape, one.dtype, one.device) for one in tensors if one is not None),
        *((name, one) for name, one in vars(module).items() if isinstance(one, CONSTANTS)),
    )
