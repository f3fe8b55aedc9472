"""What a layer is called with, as the engine's rows, and the engine's results in the same form."""

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from unrolled.errors import LayerError
from unrolled.recurrence.stack import States
from unrolled.recurrence.steps import Steps


class LayerInput:
    """An input, checked and laid out as the engine's rows.

    Attributes:
        rows: ``[rows, input_size]`` in the layout of ``steps``.
        batched: whether there is a batch, or one sequence alone.

    Raises:
        LayerError: it is no tensor, or its shape does not fit.
    """

    def __init__(
        self, input: Tensor | PackedSequence, input_size: int, *, batch_first: bool
    ) -> None:
        self.packed = input if isinstance(input, PackedSequence) else None
        self.batched = True
        if isinstance(input, PackedSequence):
            _require_size(input.data, ["rows"], input_size)
            if torch.compiler.is_exporting():
                raise LayerError(
                    "input: torch.export keeps lengths out of its graph, so a PackedSequence has "
                    "no place in it; export the model with a tensor of equal lengths"
                )
            self.rows = input.data
            self.steps = Steps(input.batch_sizes.tolist())
            return
        if not isinstance(input, Tensor):
            raise LayerError(
                f"input: expected a tensor or a PackedSequence, got {type(input).__name__}"
            )
        self.batched = input.dim() == 3
        self.batch_first = batch_first and self.batched
        axes = ["batch", "time"] if batch_first else ["time", "batch"]
        if input.dim() == 2:
            axes = ["time"]
        _require_size(input, axes, input_size)
        x = input if self.batched else input.unsqueeze(1)
        x = x.transpose(0, 1) if self.batch_first else x
        if 0 in x.shape[:2]:
            raise LayerError(f"input: there is nothing in it, its shape is {[*input.shape]}")
        self.steps = Steps([x.shape[1]] * x.shape[0])
        self.rows = x.flatten(0, 1)

    def require_type_of(self, weight: Tensor) -> None:
        """Refuse another type or device than the parameters'; autocast converts types itself."""
        x = self.rows
        if x.device != weight.device:
            raise LayerError(
                f"input: expected it on {weight.device}, as the parameters are, got {x.device}"
            )
        if x.dtype != weight.dtype and not (
            x.is_floating_point() and torch.is_autocast_enabled(x.device.type)
        ):
            raise LayerError(
                f"input: expected {weight.dtype}, as the parameters are, got {x.dtype}; convert "
                f"one, by input.to({weight.dtype}) or layer.to({x.dtype})"
            )

    def sorted(self, states: States) -> States:
        """States in the order of the rows, longest sequence first."""
        return _permuted(states, None if self.packed is None else self.packed.sorted_indices)

    def unsorted(self, states: States) -> States:
        """States in the order in which the user has the sequences."""
        return _permuted(states, None if self.packed is None else self.packed.unsorted_indices)

    def output(self, y: Tensor) -> Tensor | PackedSequence:
        """Outputs ``[rows, output_size]`` in the form of the input."""
        if self.packed is not None:
            return PackedSequence(
                y,
                self.packed.batch_sizes,
                self.packed.sorted_indices,
                self.packed.unsorted_indices,
            )
        y = y.unflatten(0, (len(self.steps.sizes), self.steps.batch))
        if not self.batched:
            return y.squeeze(1)
        return y.transpose(0, 1) if self.batch_first else y


def _permuted(states: States, order: Tensor | None) -> States:
    if order is None:
        return states
    return tuple(tuple(part[order] for part in state) for state in states)


def _require_size(x: Tensor, axes: list[str], input_size: int) -> None:
    if x.dim() != len(axes) + 1 or x.shape[-1] != input_size:
        expected = ", ".join([*axes, str(input_size)])
        alone = f" or [time, {input_size}]" if len(axes) == 2 else ""
        raise LayerError(
            f"input: expected the shape [{expected}]{alone} with input_size={input_size}, got "
            f"{[*x.shape]}"
        )
