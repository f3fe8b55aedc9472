"""Layers of one cell, run over time: the engine's one call."""

from collections.abc import Callable

from torch import Tensor, nn

from unrolled.cells.base import Cell, State
from unrolled.recurrence.backends import choose, run
from unrolled.recurrence.dropout import TimeDropout

# A state for each layer.
States = tuple[State, ...]


class Recurrence(nn.Module):
    """A stack of recurrent layers.

    Args:
        make_cell: builds a cell from its input size and hidden size.
        dropout: the rate between layers (not before the first, not after the last).
        locked: one dropout mask for all time steps.
        backend: ``auto``, ``native`` or ``eager``.

    Raises:
        ConfigError: the backend cannot run the cell.
    """

    def __init__(
        self,
        make_cell: Callable[[int, int], Cell],
        input_size: int,
        hidden_size: int,
        layers: int = 1,
        *,
        dropout: float = 0.0,
        locked: bool = False,
        backend: str = "auto",
    ) -> None:
        super().__init__()
        sizes = [input_size] + [hidden_size] * (layers - 1)
        self.cells = nn.ModuleList(make_cell(size, hidden_size) for size in sizes)
        self.hidden_size = hidden_size
        self.dropout = TimeDropout(dropout, locked=locked)
        self.backend = choose(self._cells()[0], backend)

    def forward(self, x: Tensor, states: States | None = None) -> tuple[Tensor, States]:
        """Run all layers over all steps.

        Args:
            x: ``[time, batch, input_size]``.
            states: what the previous chunk ended with; None starts from the initial state.

        Returns:
            The last layer's outputs ``[time, batch, hidden_size]`` and every layer's final state.
        """
        final = []
        for index, cell in enumerate(self._cells()):
            if index > 0:
                x = self.dropout(x)
            state = states[index] if states is not None else cell.initial_state(x.shape[1], x)
            # bf16 autocast gives bf16 activations, and a carried fp32 state beside them.
            state = tuple(part.to(x.dtype) for part in state)
            x, state = run(cell, x, state, self.backend)
            final.append(state)
        return x, tuple(final)

    def _cells(self) -> list[Cell]:
        return [cell for cell in self.cells if isinstance(cell, Cell)]


def detach(states: States) -> States:
    """The same states without their history: where truncated backpropagation stops."""
    return tuple(tuple(part.detach() for part in state) for state in states)
