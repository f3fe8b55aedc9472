"""A model as a graph takes it: tensors in, tensors out, in evaluation."""

from torch import Tensor, nn

from unrolled.models import pooling
from unrolled.models.model import RecurrentModel
from unrolled.recurrence.stack import States
from unrolled.recurrence.traced import Trace


class TracedModel(nn.Module):
    """Encoder, recurrence and head of a model, with its names of parameters.

    Its scores are those of the model in evaluation; what the engine does besides (packing,
    choosing a backend, intercepting products) is no part of it.
    """

    def __init__(self, model: RecurrentModel, trace: Trace) -> None:
        super().__init__()
        self.encoder, self.recurrence, self.head = model.encoder, model.recurrence, model.head
        if model.readout == "attention":
            self.attention = model.attention
        self.readout = model.readout
        self.trace = trace
        # How many parts each cell's state has; they go in and out as one flat list.
        self.parts = [len(state) for state in self.initial_states(1)]
        self.eval()

    def initial_states(self, batch: int) -> States:
        """The initial state of every cell, for so many sequences."""
        like = next(self.recurrence.parameters())
        return self.recurrence.initial_states(batch, like.detach())

    def state_names(self) -> list[str]:
        """A name for each part of the state, layer by layer: ``layer_0_h``."""
        names = []
        for place, cell in enumerate(self.recurrence.cells):
            layer, direction = divmod(place, self.recurrence.directions)
            where = f"layer_{layer}{'_backward' if direction else ''}"
            parts = [*cell.state_names, *(["inputs"] if cell.window > 1 else [])]  # type: ignore[operator, misc]
            names += [f"{where}_{part}" for part in parts]
        return names

    def nested(self, flat: list[Tensor]) -> States:
        """The states of all cells from the parts one after the other."""
        parts = iter(flat)
        return tuple(tuple(next(parts) for _ in range(count)) for count in self.parts)


class CarryingModel(TracedModel):
    """Scores at each step, with the state handed in and out."""

    def forward(self, inputs: Tensor, states: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Scores ``[time, batch, outputs]`` and the state after the last step.

        Args:
            inputs: ids ``[time, batch]`` or features ``[time, batch, features]``.
            states: ``[batch, size]`` each, as ``state_names`` names them.
        """
        x, final = self.trace.layers(self.recurrence, self.encoder(inputs), self.nested(states))
        return self.head.scores(x), [part for state in final for part in state]


class WholeModel(TracedModel):
    """Scores of whole sequences, each from its own start."""

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Scores ``[batch, outputs]``, or ``[time, batch, outputs]`` where each step has some.

        Args:
            inputs: as above, shorter sequences padded at their end by any value.
            lengths: ``[batch]``, steps of each sequence.
        """
        x, columns = self.encoder(inputs), inputs.shape[1]
        states = self.initial_states(columns)
        y, _ = self.trace.layers(self.recurrence, x, states, lengths)
        if self.readout == "last":
            y = pooling.last(y, lengths, self.recurrence.directions)
        elif self.readout == "mean":
            y = pooling.mean(y, lengths)
        elif self.readout != "every":
            there = pooling.steps_there(lengths, y.shape[0])
            y = pooling.maximum(y, there) if self.readout == "max" else self.attention(y, there)
        return self.head.scores(y)
