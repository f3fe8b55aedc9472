"""Whether a ``state_dict`` is one of the layer's cell and sizes."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from unrolled.cells.base import Cell

# How many keys a message lists of either side.
LISTED = 4


def mismatch(
    layer: nn.Module,
    cell: type[Cell],
    state_dict: Mapping[str, Any],
    prefix: str,
    stored: str | None,
) -> str | None:
    """Why a ``state_dict`` does not fit the layer; None where it does.

    Args:
        prefix: of the layer's keys in it.
        stored: the name of the cell that it was saved from, where it says so.
    """
    own = _shapes(layer._parameters, "")
    theirs = _shapes(state_dict, prefix)
    where = f"{prefix[:-1]}: " if prefix else ""
    of = (
        f"a state_dict of {stored}" if stored else "the state_dict of another cell or another size"
    )
    if own != theirs:
        return (
            f"{where}{of} does not load into {layer}: the layer has {_differing(own, theirs)}; "
            f"the state_dict has {_differing(theirs, own)}"
        )
    if stored not in (None, cell.__name__):
        return (
            f"{where}a state_dict of {stored} has the keys of {layer}, which computes something "
            "else with them; if that is meant, load dict(state_dict), which does not say whose it "
            "is"
        )
    return None


def _shapes(tensors: Mapping[str, Any], prefix: str) -> dict[str, list[int]]:
    """The shapes of the parameters under a prefix, without those of modules below."""
    return {
        key.removeprefix(prefix): [*tensor.shape]
        for key, tensor in tensors.items()
        if key.startswith(prefix) and isinstance(tensor, Tensor) and "." not in key[len(prefix) :]
    }


def _differing(some: Mapping[str, list[int]], others: Mapping[str, list[int]]) -> str:
    """What the one has and the other has not, or not in this shape."""
    found = [f"{key} {shape}" for key, shape in some.items() if others.get(key) != shape]
    more = f" and {len(found) - LISTED} more" if len(found) > LISTED else ""
    return ", ".join(found[:LISTED]) + more if found else "none beside those that fit"
