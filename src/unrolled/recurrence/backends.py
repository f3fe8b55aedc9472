"""Which way of running a cell over time is the fastest that is exactly the cell."""

import torch

from unrolled.cells.base import Cell
from unrolled.cells.linear import LinearCell
from unrolled.errors import ConfigError
from unrolled.recurrence import compiled

BACKENDS = ("auto", "native", "eager", "compiled", "scan")


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
        key = "model.zoneout" if zoneout else "model.recurrent_dropout"
        why_not["native"] = f"no fused kernel takes {key}"
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
