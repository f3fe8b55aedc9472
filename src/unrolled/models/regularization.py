"""What training does around the recurrence besides dropout: words left out, activations kept small
and slow."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.models.pooling import steps_there


class WordDropout(nn.Module):
    """Leaves whole words out: a dropped token's vector is zero wherever it occurs in a batch.

    This is dropout on the rows of the embedding matrix (Gal & Ghahramani 2016, section 4; Merity
    et al. 2018, section 4.3), without making another matrix.

    Args:
        rate: the probability that a token is dropped.
        tokens: how many there are.
    """

    def __init__(self, rate: float, tokens: int) -> None:
        super().__init__()
        self.rate = rate
        self.tokens = tokens

    @property
    def active(self) -> bool:
        """Whether it leaves anything out now."""
        return self.training and self.rate > 0

    def forward(self, vectors: Tensor, ids: Tensor) -> Tensor:
        """Of the vectors ``[time, batch, size]`` of ids ``[time, batch]``."""
        if not self.active:
            return vectors
        kept = F.dropout(torch.ones(self.tokens, device=vectors.device), self.rate)
        return vectors * kept[ids][..., None].to(vectors.dtype)


class ActivationPenalty(nn.Module):
    """Activation regularization and temporal activation regularization (Merity, McCann & Socher
    2017, arXiv 1708.01009; Merity et al. 2018, section 4.7).

    α · mean((m ⊙ h)²) + β · mean((h_t - h_{t+1})²), with h the output of the last layer and m its
    dropout mask, over the steps that are there and the features.

    Args:
        activation: α.
        temporal: β.
    """

    def __init__(self, activation: float, temporal: float) -> None:
        super().__init__()
        self.activation = activation
        self.temporal = temporal

    def forward(self, output: Tensor, dropped: Tensor, lengths: Tensor | None) -> Tensor | None:
        """The penalty to be added to the loss of a target, in fp32; None in evaluation and where
        there is none.

        Args:
            output: of the last layer, ``[time, batch, size]``.
            dropped: what the head reads of it, ``[time, batch, size]`` or ``[batch, size]``.
            lengths: ``[batch]``, steps of each sequence; None where all have all.
        """
        if not self.training or self.activation == self.temporal == 0:
            return None
        there = None if lengths is None else steps_there(lengths, len(output))
        penalty = output.new_zeros((), dtype=torch.float32)
        if self.activation:
            every_step = dropped.dim() == output.dim()
            penalty = penalty + self.activation * _mean_square(
                dropped, there if every_step else None
            )
        if self.temporal and len(output) > 1:
            changes = output[1:] - output[:-1]
            both = None if there is None else there[1:]
            penalty = penalty + self.temporal * _mean_square(changes, both)
        return penalty


def _mean_square(x: Tensor, there: Tensor | None) -> Tensor:
    """Over the features and the steps that are there."""
    squares = x.float().square()
    if there is None:
        return squares.mean()
    return (squares.mean(-1) * there).sum() / there.sum().clamp(min=1)
