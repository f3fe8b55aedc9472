"""The plain loop over time."""

import torch
from torch import Tensor

from unrolled.cells.base import Cell, State
from unrolled.recurrence.steps import Steps
from unrolled.recurrence.weights import Loop


class Past:
    """The states so far, of sequences of which the shorter ones come last and end first.

    Args:
        state: before the first step, ``[batch, size]`` for each part.
        loop: what the cell's weights ask how many sequences the present step has.
    """

    def __init__(self, cell: Cell, state: State, loop: Loop) -> None:
        self._state = state
        self._loop = loop
        # The output reads only the first part of the state, unless a cell says otherwise.
        self._parts = 1 if type(cell).output is Cell.output else len(state)
        self._past: list[State] = []
        self._ended: list[State] = []

    def shrink(self, sequences: int) -> State:
        """The state of the first ``sequences``; the others are over."""
        if sequences < len(self._state[0]):
            self._ended.append(tuple(part[sequences:] for part in self._state))
            self._state = tuple(part[:sequences] for part in self._state)
            self._loop.rows = sequences
        return self._state

    def add(self, state: State) -> None:
        """One more step."""
        self._state = state
        self._past.append(state)

    def states(self) -> State:
        """The states of all steps, ``[rows, size]`` for each part that the output reads."""
        return tuple(torch.cat([state[i] for state in self._past]) for i in range(self._parts))

    def final(self) -> State:
        """Each sequence's final state."""
        if not self._ended:
            return self._state
        ends = zip(self._state, *reversed(self._ended), strict=True)
        return tuple(torch.cat(parts) for parts in ends)


def eager_steps(
    cell: Cell, z: Tensor, steps: Steps, state: State, keep: State | None, loop: Loop
) -> tuple[State, State]:
    """One step after the other.

    Args:
        z: ``[rows, projected size]``.
        state: before the first step, ``[batch, size]`` for each part.
        keep: zoneout's masks or rates for each part, ``[rows, size or 1]``.
        loop: what the cell's weights ask how many sequences the present step has.

    Returns:
        The states of all steps, ``[rows, size]`` for each part that the output reads, and each
        sequence's final state.
    """
    past = Past(cell, state, loop)
    kept = None if keep is None else [*zip(*map(steps.split, keep), strict=True)]
    for t, z_t in enumerate(steps.split(z)):
        state = past.shrink(len(z_t))
        new = cell.step(z_t, state)
        past.add(new if kept is None else cell.mix(state, new, kept[t]))
    return past.states(), past.final()
