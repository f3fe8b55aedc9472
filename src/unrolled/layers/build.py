"""A layer by the name of its cell."""

import difflib
from typing import Any

from unrolled.cells.base import Cell
from unrolled.errors import LayerError
from unrolled.layers.named import BY_NAME
from unrolled.layers.recurrent import RecurrentLayer


def layer(
    cell: str | type[Cell],
    input_size: int,
    hidden_size: int,
    num_layers: int = 1,
    **arguments: Any,
) -> RecurrentLayer:
    """A layer that stands in for ``torch.nn.LSTM``, ``GRU`` or ``RNN``.

    Args:
        cell: its name, as in ``unrolled train cell=mgu``, or a class of your own, a subclass of
            ``unrolled.cells.base.Cell``.
        input_size: the width of the input.
        hidden_size: the width of the recurrence.
        num_layers: how many layers.
        arguments: as for ``unrolled.layers.RecurrentLayer``: PyTorch's (``bias``,
            ``batch_first``, ``dropout``, ``bidirectional``, …), what PyTorch lacks (``zoneout``,
            ``recurrent_dropout``, ``residual``, …) and the cell's own options.

    Raises:
        LayerError: there is no such cell, or it does not take these arguments.

    Example:
        >>> import torch, unrolled
        >>> layer = unrolled.layer("mgu", 64, 128, 2, bidirectional=True, batch_first=True)
        >>> layer
        MGU(64, 128, num_layers=2, batch_first=True, bidirectional=True)
        >>> output, state = layer(torch.randn(8, 30, 64))
        >>> output.shape, state.shape
        (torch.Size([8, 30, 256]), torch.Size([4, 8, 128]))
    """
    if not isinstance(cell, str):
        return RecurrentLayer(input_size, hidden_size, num_layers, cell=cell, **arguments)
    if cell not in BY_NAME:
        near = difflib.get_close_matches(cell, BY_NAME, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]}? There are" if near else "there are"
        raise LayerError(f"cell={cell!r}: no such cell; {hint} {', '.join(BY_NAME)}")
    return BY_NAME[cell](input_size, hidden_size, num_layers, **arguments)
