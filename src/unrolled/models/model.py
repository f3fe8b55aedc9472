"""The one model of all tasks: encoder, recurrence, head."""

from typing import Literal, cast

from torch import Tensor, nn

from unrolled.models import pooling
from unrolled.models.adaptive_embedding import AdaptiveEmbedding
from unrolled.models.encoders import Embedding, Encoder, OneHot
from unrolled.models.heads import Head
from unrolled.models.pooling import Readout
from unrolled.models.regularization import ActivationPenalty, WordDropout
from unrolled.recurrence.dropout import TimeDropout
from unrolled.recurrence.lookup import Inputs, Lookup, pays
from unrolled.recurrence.stack import Recurrence, States


class RecurrentModel(nn.Module):
    """Reads sequences side by side.

    Args:
        encoder: from a batch's inputs to the recurrence's.
        recurrence: the layers between encoder and head.
        head: from the recurrence's output to a loss and to scores.
        readout: what the head reads: ``every`` step, or of each sequence the ``last`` one (with
            both directions, each one's last), the ``mean``, the ``max`` or a learned ``attention``
            over its steps.
        embedding_dropout, output_dropout: rates before and after the recurrence.
        locked: one dropout mask for all time steps.
        word_dropout: leaves out tokens; None: where none are read.
        activation_penalty: on the recurrence's output; None: none.
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
        word_dropout: WordDropout | None = None,
        activation_penalty: ActivationPenalty | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.word_dropout = word_dropout
        self.embedding_dropout = TimeDropout(embedding_dropout, locked=locked)
        self.recurrence = recurrence
        self.output_dropout = TimeDropout(output_dropout, locked=locked)
        self.activation_penalty = activation_penalty
        self._penalty: Tensor | None = None
        self.head = head
        self.readout = readout
        if readout == "attention":
            self.attention = pooling.Attention(recurrence.output_size)

    def forward(
        self,
        inputs: Tensor,
        states: States | None = None,
        lengths: Tensor | None = None,
        padded: Literal["right", "left"] = "right",
    ) -> tuple[Tensor, States]:
        """What the head reads.

        Args:
            inputs: ids ``[time, batch]`` or features ``[time, batch, features]``.
            states: what the previous chunk ended with; None at a start.
            lengths: ``[batch]``, steps of each sequence; None where all have all.
            padded: the side on which shorter inputs are padded; it changes nothing but where they
                are read from.

        Returns:
            ``[time, batch, hidden_size]``, padded on the right, or ``[batch, hidden_size]`` where
            each sequence is read as a whole; and the final states.
        """
        if lengths is not None and padded == "left":
            inputs = pooling.aligned(inputs, lengths)
        x, states = self.recurrence(self._encoded(inputs), states, lengths)
        if self.readout == "every":
            hidden = self.output_dropout(x)
        else:
            hidden = self.output_dropout(self.pooled(x, lengths)[None])[0]
        if self.activation_penalty is not None:
            self._penalty = self.activation_penalty(x, hidden, lengths)
        return hidden, states

    def _encoded(self, inputs: Tensor) -> Inputs:
        """What the recurrence reads; a lookup where no dropout changes single vectors."""
        words_dropped = self.word_dropout is not None and self.word_dropout.active
        changed = words_dropped or self.embedding_dropout.active
        if not changed and isinstance(self.encoder, Embedding | OneHot):
            table = self.encoder.table()
            if pays(table, inputs):
                return Lookup(table, inputs)
        x = self.encoder(inputs)
        if self.word_dropout is not None:
            x = self.word_dropout(x, inputs)
        return cast(Tensor, self.embedding_dropout(x))

    def take_penalty(self) -> Tensor | None:
        """What the latest pass adds to the loss of a target besides the head's; it is given once,
        so that no graph is kept."""
        penalty = self._penalty
        if penalty is not None:
            # Not at each step: a module looks long at what it is given.
            self._penalty = None
        return penalty

    def pooled(self, y: Tensor, lengths: Tensor | None) -> Tensor:
        """One vector a sequence, ``[batch, hidden_size]``."""
        if self.readout == "last":
            return pooling.last(y, lengths, self.recurrence.directions)
        if self.readout == "mean":
            return pooling.mean(y, lengths)
        there = None if lengths is None else pooling.steps_there(lengths, len(y))
        return pooling.maximum(y, there) if self.readout == "max" else self.attention(y, there)

    def parameter_count(self) -> int:
        """Trainable parameters, shared ones once."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)

    def flops_per_token(self) -> int:
        """Floating-point operations of one token's forward pass, as ``cells.cost.flops`` counts
        them; looking up an embedding is none, nor is a head that reads each sequence once."""
        head = self.head.flops() if self.readout == "every" else 0
        encoder = self.encoder.flops() if isinstance(self.encoder, AdaptiveEmbedding) else 0
        return encoder + self.recurrence.flops_per_token() + head
