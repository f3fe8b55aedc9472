"""The generic recurrent language model: embedding, stacked recurrence, head."""

from torch import Tensor, nn

from unrolled.recurrence.dropout import TimeDropout
from unrolled.recurrence.stack import Recurrence, States


class RecurrentLanguageModel(nn.Module):
    """Predicts each next token of several streams of text.

    Args:
        vocabulary_size: the number of tokens.
        embedding_size: the width of the embedding, which is the recurrence's input size.
        hidden_size: the width of the recurrence's output.
        recurrence: the layers between embedding and head.
        tied_weights: the head shares the embedding's matrix (Press & Wolf 2017); where the widths
            differ, a matrix without bias goes from the hidden size to the embedding size first.
        embedding_dropout, output_dropout: rates before and after the recurrence.
        locked: one dropout mask for all time steps.
    """

    def __init__(
        self,
        vocabulary_size: int,
        embedding_size: int,
        hidden_size: int,
        recurrence: Recurrence,
        *,
        tied_weights: bool = False,
        embedding_dropout: float = 0.0,
        output_dropout: float = 0.0,
        locked: bool = False,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, embedding_size)
        self.embedding_dropout = TimeDropout(embedding_dropout, locked=locked)
        self.recurrence = recurrence
        self.output_dropout = TimeDropout(output_dropout, locked=locked)
        project = tied_weights and hidden_size != embedding_size
        self.projection = nn.Linear(hidden_size, embedding_size, bias=False) if project else None
        self.head = nn.Linear(embedding_size if tied_weights else hidden_size, vocabulary_size)
        if tied_weights:
            # Unit variance would start the tied head with logits of the size of √embedding_size.
            nn.init.normal_(self.embedding.weight, std=embedding_size**-0.5)
            self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor, states: States | None = None) -> tuple[Tensor, States]:
        """Scores of each next token.

        Args:
            tokens: ids ``[time, batch]``.
            states: what the previous chunk ended with; None at a start.

        Returns:
            Logits ``[time, batch, vocabulary_size]`` and the final states.
        """
        x = self.embedding_dropout(self.embedding(tokens))
        x, states = self.recurrence(x, states)
        x = self.output_dropout(x)
        if self.projection is not None:
            x = self.projection(x)
        return self.head(x), states

    def parameter_count(self) -> int:
        """Trainable parameters, shared ones once."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)

    def flops_per_token(self) -> int:
        """Floating-point operations of one token's forward pass, as ``cells.cost.flops`` counts
        them; looking up an embedding is none."""
        linear = [layer for layer in (self.projection, self.head) if layer is not None]
        return self.recurrence.flops_per_token() + sum(
            2 * layer.in_features * layer.out_features for layer in linear
        )
