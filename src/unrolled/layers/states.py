"""A layer's state as PyTorch hands it out, ``[layers * directions, batch, size]``, and each cell's
state as the engine takes it."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from unrolled.cells.base import Cell, State
from unrolled.errors import LayerError
from unrolled.recurrence.stack import States

# What a user has: a tensor where the cell's state has one part, else a tuple in the cell's order.
LayerState = Tensor | tuple[Tensor, ...]


class StateLayout:
    """How the states of some cells of one type are stacked.

    Parts that differ in width from cell to cell (the inputs that a QRNN keeps: those of the layer,
    or those of the layer below) are padded with zeros to the widest.

    Args:
        cells: layer by layer, in each the forward direction first.

    Attributes:
        names: the parts, in order; ``inputs`` is what a cell with a window keeps of them.
        sizes: of each part the width in each cell.
    """

    def __init__(self, cells: Sequence[Cell]) -> None:
        windowed = cells[0].window > 1
        self.cells = len(cells)
        self.names = (*cells[0].state_names, *(["inputs"] if windowed else []))
        widths = [
            (*cell.state_sizes, *([(cell.window - 1) * cell.input_size] if windowed else []))
            for cell in cells
        ]
        self.sizes = tuple(zip(*widths, strict=True))

    def stacked(self, states: States, *, batched: bool = True) -> LayerState:
        """The engine's states as a user has them."""
        parts = []
        for part, sizes in zip(zip(*states, strict=True), self.sizes, strict=True):
            wide = [
                F.pad(one, (0, max(sizes) - size)) for one, size in zip(part, sizes, strict=True)
            ]
            stacked = torch.stack(wide)
            parts.append(stacked if batched else stacked.squeeze(1))
        return parts[0] if len(parts) == 1 else tuple(parts)

    def split(self, hx: LayerState, batch: int, *, batched: bool = True) -> States:
        """What a user gives, as the engine takes it.

        Raises:
            LayerError: it has another form or another shape.
        """
        parts = self._parts(hx)
        for place, (part, sizes) in enumerate(zip(parts, self.sizes, strict=True)):
            shape = (self.cells, *([batch] if batched else []), max(sizes))
            if part.shape != shape:
                raise LayerError(
                    f"{self._called(place)}: expected the shape {[*shape]} "
                    f"(layers * directions, {'batch, ' if batched else ''}size), got "
                    f"{[*part.shape]}"
                )
        if not batched:
            parts = tuple(part.unsqueeze(1) for part in parts)
        return tuple(
            tuple(part[k][:, : sizes[k]] for part, sizes in zip(parts, self.sizes, strict=True))
            for k in range(self.cells)
        )

    def require_types(self, states: States, x: Tensor, weight: Tensor, cell: Cell) -> None:
        """Refuse a state of another type or device than the parameters'.

        Autocast converts types itself, and a cell that computes in float32 at least may keep its
        state in it.

        Raises:
            LayerError: it has.
        """
        for place, part in enumerate(states[0]):
            if part.device != x.device:
                raise LayerError(
                    f"{self._called(place)}: expected it on {x.device}, as the input is, got "
                    f"{part.device}"
                )
            if part.dtype == weight.dtype or torch.is_autocast_enabled(x.device.type):
                continue
            with torch.no_grad():
                row = weight.new_zeros(1, cell.window * cell.input_size)
                computed = cell.project(row).dtype
            if part.dtype != computed:
                raise LayerError(
                    f"{self._called(place)}: expected {weight.dtype}, as the parameters are, got "
                    f"{part.dtype}"
                )

    def _parts(self, hx: LayerState) -> State:
        names = ", ".join(self.names)
        if len(self.names) == 1:
            if not isinstance(hx, Tensor):
                raise LayerError(f"hx: expected one tensor ({names}), got {_described(hx)}")
            return (hx,)
        if (
            isinstance(hx, Tensor)
            or len(hx) != len(self.names)
            or not all(isinstance(part, Tensor) for part in hx)
        ):
            raise LayerError(
                f"hx: expected a tuple of {len(self.names)} tensors ({names}), got "
                f"{_described(hx)}"
            )
        return tuple(hx)

    def _called(self, place: int) -> str:
        return "hx" if len(self.names) == 1 else f"hx[{place}] ({self.names[place]})"


def _described(hx: object) -> str:
    if isinstance(hx, Tensor):
        return f"a tensor of shape {[*hx.shape]}"
    if isinstance(hx, tuple | list):
        return f"a {type(hx).__name__} of {len(hx)}"
    return f"a {type(hx).__name__}"
