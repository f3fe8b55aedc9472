"""The one model of all tasks: encoder, recurrence, head."""

from typing import Literal

import torch
from torch import Tensor, nn

from unrolled.models.encoders import Encoder
from unrolled.models.heads import Head
from unrolled.recurrence.dropout import TimeDropout
from unrolled.recurrence.stack import Recurrence, States

Readout = Literal["every", "last"]


class RecurrentModel(nn.Module):
    """Reads sequences side by side.

    Args:
        encoder: from a batch's inputs to the recurrence's.
        recurrence: the layers between encoder and head.
        head: from the recurrence's output to a loss and to scores.
        readout: what the head reads: ``every`` step, or each sequence's ``last``.
        embedding_dropout, output_dropout: rates before and after the recurrence.
        locked: one dropout mask for all time steps.
    """

    def __init__(
        self,
        encoder: Encoder,
        recurrence: Recurrence,
        head: Head,
        *,
        readout: Readout = "every",
        embedding_dropout: float = 0.0,
        output_dropout: float = 0.0,
        locked: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.embedding_dropout = TimeDropout(embedding_dropout, locked=locked)
        self.recurrence = recurrence
        self.output_dropout = TimeDropout(output_dropout, locked=locked)
        self.head = head
        self.readout = readout

    def forward(
        self, inputs: Tensor, states: States | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, States]:
        """What the head reads.

        Args:
            inputs: ids ``[time, batch]`` or features ``[time, batch, features]``.
            states: what the previous chunk ended with; None at a start.
            lengths: ``[batch]``, steps of each sequence; None where all have all.

        Returns:
            ``[time, batch, hidden_size]``, or ``[batch, hidden_size]`` where the last step is
            read; and the final states.
        """
        x = self.embedding_dropout(self.encoder(inputs))
        x, states = self.recurrence(x, states, lengths)
        if self.readout == "last":
            x = x[-1] if lengths is None else x[lengths - 1, torch.arange(x.shape[1])]
            return self.output_dropout(x[None])[0], states
        return self.output_dropout(x), states

    def parameter_count(self) -> int:
        """Trainable parameters, shared ones once."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)

    def flops_per_token(self) -> int:
        """Floating-point operations of one token's forward pass, as ``cells.cost.flops`` counts
        them; looking up an embedding is none, nor is a head that reads each sequence once."""
        head = self.head.flops() if self.readout == "every" else 0
        return self.recurrence.flops_per_token() + head
