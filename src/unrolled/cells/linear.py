"""Cells whose recurrence is linear in the state, so that all its steps can be scanned at once."""

import torch
from torch import Tensor

from unrolled.cells.base import Cell, State


class LinearCell(Cell):
    """A cell with ``s_t = a_t ⊙ s_{t-1} + b_t``, where ``a_t`` and ``b_t`` read the input alone.

    It writes ``coefficients`` or ``gate_and_candidate``; the engine runs the recurrence, step by
    step or as a scan (Blelloch 1990; Martin & Cundy 2018).
    """

    _renamed_hooks = {**Cell._renamed_hooks, "enter": "pack_state", "leave": "unpack_state"}

    def coefficients(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """``a_t`` and ``b_t`` of every step; a cell writes these, or ``gate_and_candidate``.

        Args:
            z: ``[..., projected size]``.

        Returns:
            Two tensors ``[..., state size]``, real or complex; ``a`` may lack leading dimensions
            where it is the same at all steps.
        """
        both = self.gate_and_candidate(z)
        if both is None:
            name = type(self).__name__
            raise NotImplementedError(f"{name} has neither coefficients nor gate_and_candidate")
        g, candidate = both.chunk(2, dim=-1)
        # 1 - σ(g) = σ(-g), which keeps its digits where σ(g) is close to 1.
        return torch.sigmoid(-g), torch.sigmoid(g) * candidate

    def gate_and_candidate(self, z: Tensor) -> Tensor | None:
        """``g_t`` and ``c_t`` of every step of a cell with
        ``s_t = (1 - σ(g_t)) ⊙ s_{t-1} + σ(g_t) ⊙ c_t``, side by side ``[..., 2 * state size]``;
        None for other cells.

        Args:
            z: ``[..., projected size]``.
        """
        return None

    def pack_state(self, state: State) -> Tensor:
        """``s`` from the parts of the state; by default the only one is ``s``."""
        return state[0]

    def unpack_state(self, s: Tensor) -> State:
        """The parts of the state from ``s``: the inverse of ``pack_state``."""
        return (s,)

    def step(self, z: Tensor, state: State) -> State:
        a, b = self.coefficients(z)
        return self.unpack_state(a * self.pack_state(state) + b)

    def apply_zoneout(self, old: State, new: State, keep: State) -> State:
        """As for any cell; the parts of this state are one number, kept or renewed together."""
        return super().apply_zoneout(old, new, tuple(keep[0] for _ in keep))
