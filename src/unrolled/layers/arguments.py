"""Whether a layer can be built from the arguments that it is given, each error naming its own."""

import difflib
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from unrolled.cells.base import Cell
from unrolled.cells.gated import GatedCell
from unrolled.errors import ConfigError, LayerError


def require_cell(cell: Any) -> type[Cell]:
    """``cell``, where it is a class of cells."""
    if not (isinstance(cell, type) and issubclass(cell, Cell)):
        raise LayerError(
            f"cell={cell!r}: must be a subclass of unrolled.cells.base.Cell; for a cell by its "
            "name, call unrolled.layer"
        )
    return cell


def require_whole(numbers: Mapping[str, Any], *, least: int) -> None:
    """Refuse what is not a whole number, or is below ``least``."""
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise LayerError(f"{name}={value!r}: must be an int of at least {least}")


def require_flags(flags: Mapping[str, Any]) -> None:
    """Refuse what is neither True nor False."""
    for name, value in flags.items():
        if not isinstance(value, bool):
            raise LayerError(f"{name}={value!r}: must be True or False")


def require_rates(rates: Mapping[str, Any], *, one: bool = False) -> None:
    """Refuse what is not a probability; with ``one`` everything may be dropped."""
    for name, value in rates.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not (0 <= value < 1 or (one and value == 1)):
            below = "to" if one else "to below"
            raise LayerError(f"{name}={value!r}: must be a number from 0 {below} 1")


def options_of(cell: type[Cell]) -> list[str]:
    """The names of a cell's hyperparameters: what its constructor takes beside the two sizes.

    ``bias`` is the layer's own for every cell, and not among them.
    """
    if cell.__init__ in (Cell.__init__, GatedCell.__init__):
        # Their output_size is what a subclass decides.
        return []
    named = (p.name for p in _parameters(cell) if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL))
    return [name for name in named if name != "bias"]


def require_options(cell: type[Cell], given: Iterable[str], own: Iterable[str]) -> None:
    """Refuse arguments that neither the layer nor its cell has.

    Args:
        given: their names.
        own: the names of the layer's arguments.
    """
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in _parameters(cell)):
        return
    options = options_of(cell)
    for name in given:
        if name not in options:
            near = difflib.get_close_matches(name, [*options, *own], n=1, cutoff=0.5)
            theirs = f"it has {', '.join(options)}" if options else "it has no options of its own"
            hint = f"did you mean {near[0]}?" if near else theirs
            raise LayerError(f"{name}: {cell.__name__} has no such argument; {hint}")


def with_projection(
    cell: type[Cell], options: Mapping[str, Any], proj_size: int, hidden_size: int
) -> dict[str, Any]:
    """The cell's hyperparameters with ``proj_size`` among them, where it is not 0."""
    if proj_size == 0:
        return {**options}
    if "projection_size" not in options_of(cell):
        raise LayerError(f"proj_size={proj_size}: {cell.__name__} has no projection; LSTM has one")
    if "projection_size" in options:
        raise LayerError("proj_size and projection_size are one thing; give one of them")
    if proj_size >= hidden_size:
        raise LayerError(
            f"proj_size={proj_size}: must be below hidden_size={hidden_size}, as in torch.nn; "
            "projection_size takes any width"
        )
    return {**options, "projection_size": proj_size}


@contextmanager
def in_pythons_words() -> Iterator[None]:
    """Errors of cells and of the engine with the arguments' names: ``zoneout``, where the
    configuration says ``model.zoneout``."""
    try:
        yield
    except ConfigError as error:
        message = re.sub(r"\b(?:cell|model)\.(?=[a-z_]+\b)", "", str(error))
        raise LayerError(message) from error


def _parameters(cell: type[Cell]) -> list[inspect.Parameter]:
    """What a cell's constructor takes behind itself and the two sizes."""
    return [*inspect.signature(cell.__init__).parameters.values()][3:]
