"""Cells whose gates each read the input and the state through a matrix."""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.cells.base import Cell, uniform


class GatedCell(Cell):
    """A cell whose gates each read ``W x_t + b`` and ``U h_{t-1}``, stacked as PyTorch stacks
    them.

    Attributes:
        gates: the names of the stacked blocks; ``f`` marks a forget gate.
        two_biases: whether the state's part has a bias of its own, as the fused kernels want it.
        weight_ih: ``W``, ``[gates * hidden_size, input_size]``.
        weight_hh: ``U``, ``[gates * hidden_size, output_size]``.
        bias_ih: ``b``, ``[gates * hidden_size]``.
        bias_hh: ``b'``, ``[gates * hidden_size]``, or None.
    """

    gates: ClassVar[tuple[str, ...]] = ("h",)
    two_biases: ClassVar[bool] = False

    def __init__(
        self, input_size: int, hidden_size: int, *, output_size: int | None = None
    ) -> None:
        super().__init__(input_size, hidden_size, output_size=output_size)
        rows = len(self.gates) * hidden_size
        self.weight_ih = nn.Parameter(torch.empty(rows, input_size))
        self.weight_hh = nn.Parameter(torch.empty(rows, self.output_size))
        self.bias_ih = nn.Parameter(torch.empty(rows))
        self.bias_hh = nn.Parameter(torch.empty(rows)) if self.two_biases else None

    def reset_parameters(self) -> None:
        """U(-1/√hidden_size, 1/√hidden_size) for everything, PyTorch's own for these cells."""
        uniform([*self.parameters()], self.hidden_size**-0.5)

    def project(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight_ih, self.bias_ih)

    def recur(self, h: Tensor) -> Tensor:
        """The state's part of one step: ``[batch, output_size]`` to ``[batch, gates *
        hidden_size]``."""
        return F.linear(h, self.weight_hh, self.bias_hh)

    def gate(self, name: str) -> slice:
        """The rows of a gate in the stacked weights and biases."""
        start = self.gates.index(name) * self.hidden_size
        return slice(start, start + self.hidden_size)

    def set_forget_bias(self, value: float) -> None:
        if "f" not in self.gates:
            return
        with torch.no_grad():
            self.bias_ih[self.gate("f")] = value
            if self.bias_hh is not None:
                self.bias_hh[self.gate("f")] = 0.0

    def weights(self) -> list[Tensor]:
        """The parameters in the order in which the fused kernels take them."""
        return [*self.parameters(recurse=False)]
