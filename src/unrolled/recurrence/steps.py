"""Which sequences are still there at which step: the layout that every backend works on, and the
states of the steps so far.

The rows of a batch lie step after step; with sequences of unequal length, longest first, a step
has only the rows of those that are not over, as in PyTorch's packed sequences. So padding costs
nothing, and a batch of equal lengths is the case where all steps have as many rows.
"""

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from unrolled.cells.base import Cell, State


class Steps:
    """The layout of rows ``[rows, features]``.

    Args:
        sizes: how many sequences each step has; it never grows.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        self.sizes = tuple(sizes)

    @property
    def batch(self) -> int:
        """How many sequences there are at the first step."""
        return self.sizes[0]

    @property
    def regular(self) -> bool:
        """Whether all sequences are equally long."""
        return self.sizes[0] == self.sizes[-1]

    @property
    def rows(self) -> int:
        """The number of rows of all steps together."""
        return sum(self.sizes)

    def split(self, x: Tensor) -> tuple[Tensor, ...]:
        """The rows of each step."""
        rows: tuple[Tensor, ...] = x.split(self.sizes)
        return rows

    def span(self, start: int, stop: int) -> "Steps":
        """The layout of the steps from ``start`` to ``stop``."""
        return Steps(self.sizes[start:stop])

    def final(self, x: Tensor) -> Tensor:
        """Each sequence's last row: ``[rows, features]`` to ``[batch, features]``."""
        if self.regular:
            return x[-self.batch :]
        last = self._starts[self._lengths - 1] + torch.arange(self.batch)
        return x[last.to(x.device)]

    def previous(self, x: Tensor, first: Tensor) -> Tensor:
        """Each row's predecessor in its sequence; ``first`` ``[batch, features]`` comes before
        all."""
        if self.regular:
            return torch.cat([first, x[: -self.batch]])
        step, sequence = self._places
        row = torch.where(step > 0, self.batch + self._starts[step - 1], 0) + sequence
        return torch.cat([first, x])[row.to(x.device)]

    def before(self, states: Tensor) -> Tensor:
        """As ``previous``, of one tensor: what comes before all, and then all steps' rows."""
        if self.regular:
            return states[: -self.batch]
        first, after = states.split([self.batch, self.rows])
        return self.previous(after, first)

    def cuts(self, parts: int) -> list[int]:
        """Where to cut the sequences into so many parts of about as many rows: the first sequence
        of each part, and the end."""
        if self.regular:
            return [self.batch * part // parts for part in range(parts + 1)]
        wanted = torch.arange(1, parts) * self.rows / parts
        inner = torch.searchsorted(self._lengths.cumsum(0).double(), wanted.double()) + 1
        return [0, *(min(int(cut), self.batch) for cut in inner), self.batch]

    def reversed(self, x: Tensor) -> Tensor:
        """Each sequence backwards in time, in the same layout."""
        if self.regular and torch.compiler.is_exporting():
            # What a flip computes of symbolic strides would fix the size of the batch.
            return torch.cat(self.split(x)[::-1])
        if self.regular:
            return x.reshape(len(self.sizes), self.batch, *x.shape[1:]).flip(0).flatten(0, 1)
        step, sequence = self._places
        row = self._starts[self._lengths[sequence] - 1 - step] + sequence
        return x[row.to(x.device)]

    def times(self, x: Tensor, mask: Tensor) -> Tensor:
        """Each row times its sequence's row of ``mask`` ``[batch, features]``."""
        if self.regular:
            return (x.reshape(len(self.sizes), self.batch, -1) * mask).flatten(0, 1)
        return x * mask[self._places[1].to(x.device)]

    def padded(self, x: Tensor) -> Tensor:
        """``[rows, features]`` as ``[time, batch, features]`` with zeros where a sequence is
        over."""
        if self.regular and torch.compiler.is_exporting():
            # As for a flip: a reshape would fix the size of the batch.
            return torch.stack(self.split(x))
        if self.regular:
            return x.reshape(len(self.sizes), self.batch, -1)
        full = x.new_zeros(len(self.sizes) * self.batch, x.shape[-1])
        full = full.index_copy(0, self._padded_rows.to(x.device), x)
        return full.view(len(self.sizes), self.batch, -1)

    def packed(self, x: Tensor) -> Tensor:
        """``[time, batch, features]`` as rows, without what is padding."""
        x = x.flatten(0, 1)
        return x if self.regular else x[self._padded_rows.to(x.device)]

    @cached_property
    def _counts(self) -> Tensor:
        return torch.tensor(self.sizes)

    @cached_property
    def _starts(self) -> Tensor:
        """The first row of each step."""
        return self._counts.cumsum(0) - self._counts

    @cached_property
    def _lengths(self) -> Tensor:
        """The number of steps of each sequence."""
        return (self._counts[:, None] > torch.arange(self.batch)).sum(0)

    @cached_property
    def _places(self) -> tuple[Tensor, Tensor]:
        """The step and the sequence of each row."""
        step = torch.arange(len(self.sizes)).repeat_interleave(self._counts)
        return step, torch.arange(self.rows) - self._starts[step]

    @cached_property
    def _padded_rows(self) -> Tensor:
        """The place of each row among all steps of all sequences."""
        step, sequence = self._places
        return step * self.batch + sequence


class StateHistory:
    """The states of the steps so far; of the sequences the shorter ones come last and end first.

    Args:
        state: before the first step, ``[batch, size]`` for each part.
    """

    def __init__(self, cell: Cell, state: State) -> None:
        self._state = state
        # An output that no cell has overridden reads the first part of the state alone.
        self._parts = 1 if type(cell).output is Cell.output else len(state)
        self._history: list[State] = []
        self._ended: list[State] = []

    def of_first(self, sequences: int) -> State:
        """The state of the first ``sequences``; the others have ended."""
        if sequences < self._state[0].shape[0]:
            self._ended.append(tuple(part[sequences:] for part in self._state))
            self._state = tuple(part[:sequences] for part in self._state)
        return self._state

    def add(self, state: State) -> None:
        """The state after one more step."""
        self._state = state
        self._history.append(state)

    def states(self) -> State:
        """The states of all steps, ``[rows, size]`` for each part that the output reads."""
        return tuple(torch.cat([state[i] for state in self._history]) for i in range(self._parts))

    def final(self) -> State:
        """Each sequence's final state."""
        if not self._ended:
            return self._state
        ends = zip(self._state, *reversed(self._ended), strict=True)
        return tuple(torch.cat(parts) for parts in ends)
