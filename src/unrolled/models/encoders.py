"""What turns a batch's inputs into the recurrence's: an embedding or a one-hot form of
tokens, or nothing."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.models.adaptive_embedding import AdaptiveEmbedding


class Embedding(nn.Embedding):
    """Ids ``[time, batch]`` to vectors ``[time, batch, size]``."""

    def __init__(self, vocabulary_size: int, size: int) -> None:
        super().__init__(vocabulary_size, size)

    @property
    def output_size(self) -> int:
        """The width of the vectors."""
        return self.embedding_dim

    def table(self) -> Tensor:
        """Every id's vector, ``[ids, size]``."""
        return self.weight


class Features(nn.Module):
    """Features ``[time, batch, size]`` as they are."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.output_size = size

    def forward(self, x: Tensor) -> Tensor:
        return x


class OneHot(nn.Module):
    """Ids ``[time, batch]`` to vectors ``[time, batch, size]`` of zeros and a single one."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.output_size = size

    def forward(self, ids: Tensor) -> Tensor:
        return F.one_hot(ids, self.output_size).to(torch.get_default_dtype())

    def table(self) -> Tensor:
        """Every id's vector, ``[ids, size]``."""
        return torch.eye(self.output_size)


Encoder = Embedding | AdaptiveEmbedding | Features | OneHot
