"""What a cell is: one layer, one step of time, written as its equations.

To add a cell, subclass ``Cell`` (or ``GatedCell``, where every gate reads ``x_t`` and ``h_{t-1}``
through a matrix each), write ``project`` and ``step``, and point a YAML in ``conf/cell`` at it.
The engine in ``unrolled.recurrence`` does everything else: layers, dropout, carried state and the
choice of a kernel.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

State = tuple[Tensor, ...]


class Cell(nn.Module, ABC):
    """One recurrent layer at one step of time.

    What does not depend on the previous step is in ``project``, which sees all time steps at once
    and costs one matrix product; what must be done in order is in ``step``.

    Attributes:
        state_names: the parts of the state, in the order of the tuples; the first is the output.
    """

    state_names: ClassVar[tuple[str, ...]] = ("h",)

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size

    @abstractmethod
    def project(self, x: Tensor) -> Tensor:
        """The input's part of every step: ``[..., input_size]`` to ``[..., projected size]``."""

    @abstractmethod
    def step(self, z: Tensor, state: State) -> State:
        """One step of time.

        Args:
            z: ``[batch, projected size]``, this step's row of ``project``.
            state: the previous state, a tensor ``[batch, hidden_size]`` for each of
                ``state_names``.

        Returns:
            The new state, of the same shapes; its first tensor is the output.
        """

    @abstractmethod
    def reset_parameters(self) -> None:
        """Initialize as the cell's source does."""

    def initial_state(self, batch_size: int, like: Tensor) -> State:
        """Zeros ``[batch_size, hidden_size]`` for each part, of the type and device of
        ``like``."""
        zeros = like.new_zeros(batch_size, self.hidden_size)
        return tuple(zeros for _ in self.state_names)

    def native(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """All steps by a fused kernel on the same parameters, where PyTorch has one.

        Args:
            x: ``[time, batch, input_size]``.
            state: as for ``step``.

        Returns:
            Outputs ``[time, batch, hidden_size]`` and the final state.
        """
        raise NotImplementedError(f"{type(self).__name__} has no fused kernel")

    @property
    def has_native(self) -> bool:
        """Whether ``native`` is there."""
        return type(self).native is not Cell.native

    def set_forget_bias(self, value: float) -> None:
        """Let the forget gate's bias start at ``value`` in total; a cell without one stays as it
        is."""

    @classmethod
    def parameter_count(cls, input_size: int, hidden_size: int, **options: object) -> int:
        """How many parameters a cell of this size has, counted on a cell without storage."""
        with torch.device("meta"):
            return sum(p.numel() for p in cls(input_size, hidden_size, **options).parameters())


class GatedCell(Cell):
    """A cell whose gates each read ``W x_t + b`` and ``U h_{t-1} + b'``, stacked as PyTorch stacks
    them.

    Attributes:
        gates: the names of the stacked blocks, in PyTorch's order; ``f`` marks a forget gate.
        weight_ih: ``[gates * hidden_size, input_size]``.
        weight_hh: ``[gates * hidden_size, hidden_size]``.
        bias_ih, bias_hh: ``[gates * hidden_size]``; two, as the fused kernels have them.
    """

    gates: ClassVar[tuple[str, ...]] = ("h",)

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        rows = len(self.gates) * hidden_size
        self.weight_ih = nn.Parameter(torch.empty(rows, input_size))
        self.weight_hh = nn.Parameter(torch.empty(rows, hidden_size))
        self.bias_ih = nn.Parameter(torch.empty(rows))
        self.bias_hh = nn.Parameter(torch.empty(rows))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """U(-1/√hidden_size, 1/√hidden_size) for everything, PyTorch's own for these cells."""
        bound = self.hidden_size**-0.5
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def project(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight_ih, self.bias_ih)

    def recur(self, h: Tensor) -> Tensor:
        """The state's part of one step: ``[batch, hidden_size]`` to ``[batch, gates *
        hidden_size]``."""
        return F.linear(h, self.weight_hh, self.bias_hh)

    def set_forget_bias(self, value: float) -> None:
        if "f" not in self.gates:
            return
        start = self.gates.index("f") * self.hidden_size
        block = slice(start, start + self.hidden_size)
        with torch.no_grad():
            self.bias_ih[block] = value
            self.bias_hh[block] = 0.0

    def weights(self) -> list[Tensor]:
        """The parameters in the order in which the fused kernels take them."""
        return [self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh]
