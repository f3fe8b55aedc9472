"""Which way of running a cell over time is the fastest that is exactly the cell."""

import torch

from unrolled.cells.base import Cell, recurrent_parameters
from unrolled.cells.gated import GatedCell
from unrolled.cells.linear import LinearCell
from unrolled.cells.lstm import LSTM
from unrolled.errors import ConfigError
from unrolled.kernels.library import has_tiles, is_traced
from unrolled.recurrence import compiled, generated
from unrolled.recurrence.analytic import has_analytic
from unrolled.recurrence.analytic.passes import kernel_for
from unrolled.recurrence.products import SMALLEST_ROWS

BACKENDS = ("auto", "native", "analytic", "generated", "eager", "compiled", "scan")
# From so many steps, a CPU runs layers faster by compiled code of ours (analytic/c_layer.py) than
# by PyTorch's kernels: it has to arrange the weights first.
COMPILED_STEPS = 8
# Up to so many recurrent weights, an LSTM too, for which PyTorch has oneDNN's kernel.
COMPILED_LSTM_WEIGHTS = 300_000
# From so many multiplications a step, ``analytic`` is faster without that, too: PyTorch's kernels
# multiply by MKL and add up a weight's gradient step by step.
LARGE_STEP = 6_000_000
# From so many, it gains by products in half precision; where they are compiled code's, from so
# many.
HALF_STEP = 2_000_000
HALF_STEP_COMPILED = 500_000
# From so many, it is then faster without compiled code than oneDNN's kernel for the LSTM, which
# stays in fp32.
HALF_LSTM_STEP = 12_000_000
# From so many, the loop with products in half precision is faster than generated code, which
# multiplies in fp32. Processors with tiles (AMX) are faster in fp32, too, and by more in what is
# generated than in PyTorch's operations.
HALF_LOOP_STEP = 12_000_000
HALF_LOOP_STEP_TILES = 48_000_000


def choose(
    cell: Cell,
    backend: str,
    device: torch.device,
    *,
    zoneout: bool = False,
    recurrent_dropout: bool = False,
    batch: int = 1,
    length: int | None = None,
    unequal: bool = False,
    half: bool = False,
) -> str:
    """The backend that ``auto`` stands for, or ``backend`` itself.

    Args:
        zoneout, recurrent_dropout: whether there is any.
        batch: how many sequences there are.
        length: how many steps; None: as many as in training.
        unequal: whether their lengths differ.
        half: whether products are rounded to half precision.

    Raises:
        ConfigError: there is no such backend, or it cannot run this cell exactly.
    """
    if backend not in BACKENDS:
        raise ConfigError(f"cell.backend={backend}: choose one of {', '.join(BACKENDS)}")

    def why_not(one: str) -> str | None:
        # Asked before each forward pass, so that no more is looked at than the answer needs.
        name = type(cell).__name__
        key = "model.zoneout" if zoneout else "model.recurrent_dropout"
        if one == "native" and not cell.has_native:
            return f"{name} has no fused kernel"
        if one == "native" and (zoneout or recurrent_dropout):
            return f"no fused kernel takes {key}"
        if one == "analytic" and not has_analytic(cell):
            return f"the backward pass of {name} is not written out"
        if one == "analytic" and (zoneout or recurrent_dropout):
            return f"its backward pass does not know {key}"
        if one == "generated" and recurrent_dropout:
            return "it does not know model.recurrent_dropout"
        if one == "generated":
            return generated.missing(cell, device, zoneout=zoneout)
        if one == "scan" and not isinstance(cell, LinearCell):
            return f"{name} is not linear in its state (not a LinearCell)"
        if one == "compiled" and recurrent_dropout:
            return "it cannot take model.recurrent_dropout"
        return compiled.missing(device) if one == "compiled" else None

    if torch.compiler.is_exporting():
        # A program is to have PyTorch's own operations alone, and to run on any device.
        native = backend in ("auto", "native") and why_not("native") is None
        return "native" if native else "eager"
    if backend == "auto":
        # Compiling takes tens of seconds, which a loop on a CPU does not win back in a short run;
        # on a GPU the loop waits for the launch of every kernel.
        if device.type == "cuda":
            order = ["native", "scan", "compiled", "eager"]
        elif not is_traced() and _analytic_is_faster(
            cell, device, batch, length, unequal=unequal, half=half
        ):
            order = ["analytic", "generated", "eager"]
        else:
            order = ["native", "scan", "generated", "eager"]
            if not cell.native_suits(device, batch=batch, unequal=unequal):
                order.remove("native")
        short = length is not None and length < COMPILED_STEPS
        if "generated" in order and (
            short or is_traced() or (half and _loop_is_faster(cell, batch))
        ):
            order.remove("generated")
        return next(one for one in order if why_not(one) is None)
    if (reason := why_not(backend)) is not None:
        others = [one for one in BACKENDS[1:] if why_not(one) is None]
        raise ConfigError(f"cell.backend={backend}: {reason}; take auto or {' or '.join(others)}")
    return backend


def gains_by_half(cell: Cell, backend: str, batch: int) -> bool:
    """Whether a CPU runs a cell faster with products in half precision.

    Args:
        backend: what runs it then.
        batch: how many sequences there are.
    """
    if backend != "analytic" or not isinstance(cell, GatedCell):
        return False
    smallest = HALF_STEP_COMPILED if kernel_for(cell) else HALF_STEP
    return batch * cell.weight_hh.numel() >= smallest


def _analytic_is_faster(
    cell: Cell, device: torch.device, batch: int, length: int | None, *, unequal: bool, half: bool
) -> bool:
    """Whether a CPU runs a cell faster by passes that are written out."""
    if not has_analytic(cell) or unequal:
        return has_analytic(cell)
    assert isinstance(cell, GatedCell)
    weights = cell.weight_hh.numel()
    lstm, many = isinstance(cell, LSTM), length is None or length >= COMPILED_STEPS
    if not half and many and _runs_compiled(cell, device):
        return not lstm or weights <= COMPILED_LSTM_WEIGHTS
    if lstm:
        return half and (kernel_for(cell) is not None or batch * weights >= HALF_LSTM_STEP)
    # Under half precision PyTorch's kernels round the state, too.
    return half or (batch >= SMALLEST_ROWS and batch * weights >= LARGE_STEP)


def _loop_is_faster(cell: Cell, batch: int) -> bool:
    """Whether a CPU runs a cell's steps faster with products in half precision, one by one."""
    weights = sum(weight.numel() for weight in recurrent_parameters(cell).values())
    return batch * weights >= (HALF_LOOP_STEP_TILES if has_tiles() else HALF_LOOP_STEP)


def _runs_compiled(cell: GatedCell, device: torch.device) -> bool:
    """Whether whole layers of a cell are run by compiled code in fp32."""
    whole = cell.weight_hh.dtype == torch.float32 and device.type == "cpu"
    return whole and kernel_for(cell) is not None
