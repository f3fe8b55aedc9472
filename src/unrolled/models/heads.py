"""What stands on top of the recurrence: a head knows its loss, its log-probabilities and its cost.

Whoever only trains asks for the loss; dense scores, which at a large vocabulary are the largest
tensors of a step, are given to those who ask for them.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.cells.autocast import half_type_on_cpu
from unrolled.data.batches import IGNORE
from unrolled.models.encoders import Embedding
from unrolled.models.linear_cross_entropy import linear_cross_entropy

# From so many classes on, scores are the largest tensors of a training step.
MANY_CLASSES = 1000


class Head(nn.Module, ABC):
    """From the recurrence's output ``[..., hidden_size]`` to a loss and to scores."""

    @abstractmethod
    def scores(self, hidden: Tensor) -> Tensor:
        """Dense scores ``[..., outputs]``: logits, or predicted values."""

    @abstractmethod
    def loss_of_scores(self, scores: Tensor, targets: Tensor) -> Tensor:
        """The loss of all targets together, in fp32."""

    @abstractmethod
    def flops(self) -> int:
        """Floating-point operations for one row of ``hidden``, two for each multiplication."""

    def loss(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """The loss of all targets together, in fp32."""
        return self.loss_of_scores(self.scores(hidden), targets)

    def loss_and_predictions(self, hidden: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The loss as in ``loss``, and without a gradient what is predicted: the most probable
        classes ``[...]``, or values ``[..., outputs]``."""
        scores = self.scores(hidden)
        return self.loss_of_scores(scores, targets), self.predictions(scores.detach())

    def predictions(self, scores: Tensor) -> Tensor:
        """What dense scores say."""
        return scores

    def describe(self) -> dict[str, Any]:
        """What a record keeps of the head: what was solved for when it was made."""
        return {}


class Distribution(Head):
    """A head that gives a distribution over classes."""

    @property
    @abstractmethod
    def classes(self) -> int:
        """How many classes there are."""

    @abstractmethod
    def log_probabilities(self, hidden: Tensor) -> Tensor:
        """Logarithms of the classes' probabilities ``[..., classes]``, in fp32."""


class LinearHead(Distribution):
    """One linear layer to a distribution over classes: its loss is the negative log-likelihood.

    Args:
        hidden_size: the width of the recurrence's output.
        classes: how many there are.
    """

    def __init__(self, hidden_size: int, classes: int) -> None:
        super().__init__()
        self.projection: nn.Linear | None = None
        self.linear = nn.Linear(hidden_size, classes)

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return self.linear.out_features

    def scores(self, hidden: Tensor) -> Tensor:
        """Logits ``[..., classes]``."""
        if self.projection is not None:
            hidden = self.projection(hidden)
        logits: Tensor = self.linear(hidden)
        return logits

    def predictions(self, scores: Tensor) -> Tensor:
        """The most probable classes ``[...]``."""
        return scores.argmax(-1)

    def log_probabilities(self, hidden: Tensor) -> Tensor:
        """Logarithms of the classes' probabilities ``[..., classes]``, in fp32."""
        return F.log_softmax(self.scores(hidden).float(), dim=-1)

    def loss(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """As ``loss_of_scores``; with half precision on a CPU without scores of all targets."""
        half = half_type_on_cpu(hidden.device)
        if half is None or self.classes < MANY_CLASSES:
            return super().loss(hidden, targets)
        if self.projection is not None:
            hidden = self.projection(hidden)
        rows = hidden.flatten(0, -2)
        weight, bias = self.linear.weight, self.linear.bias
        return linear_cross_entropy(rows, weight, bias, targets.flatten(), half)

    def loss_of_scores(self, scores: Tensor, targets: Tensor) -> Tensor:
        """The negative log-likelihood of all targets together, in nats.

        Args:
            scores: logits ``[..., classes]``.
            targets: classes ``[...]``, ``IGNORE`` where there is none.
        """
        return F.cross_entropy(
            scores.flatten(0, -2).float(), targets.flatten(), ignore_index=IGNORE, reduction="sum"
        )

    def flops(self) -> int:
        layers = [layer for layer in (self.projection, self.linear) if layer is not None]
        return sum(2 * layer.in_features * layer.out_features for layer in layers)


class ClassHead(LinearHead):
    """A linear head over classes of sequences: its loss is a weighted negative log-likelihood.

    Args:
        class_weights: what the loss of an example of each class counts, ``[classes]``; None: 1.
    """

    class_weights: Tensor | None

    def __init__(
        self, hidden_size: int, classes: int, class_weights: Sequence[float] | None = None
    ) -> None:
        super().__init__(hidden_size, classes)
        weights = None if class_weights is None else torch.tensor(class_weights)
        self.register_buffer("class_weights", weights, persistent=False)

    def loss(self, hidden: Tensor, targets: Tensor) -> Tensor:
        return self.loss_of_scores(self.scores(hidden), targets)

    def loss_of_scores(self, scores: Tensor, targets: Tensor) -> Tensor:
        losses = F.cross_entropy(scores.float(), targets, reduction="none")
        if self.class_weights is not None:
            losses = losses * self.class_weights[targets]
        return losses.sum()


class BinaryHead(ClassHead):
    """One output with a sigmoid, the probability of the second of two classes."""

    def __init__(self, hidden_size: int, class_weights: Sequence[float] | None = None) -> None:
        super().__init__(hidden_size, 1, class_weights)

    @property
    def classes(self) -> int:
        return 2

    def log_probabilities(self, hidden: Tensor) -> Tensor:
        """Logarithms of both classes' probabilities ``[..., 2]``, in fp32."""
        score = self.scores(hidden).float()
        return torch.cat([F.logsigmoid(-score), F.logsigmoid(score)], -1)

    def predictions(self, scores: Tensor) -> Tensor:
        """The more probable classes ``[batch]``."""
        return (scores[..., 0] > 0).long()

    def loss_of_scores(self, scores: Tensor, targets: Tensor) -> Tensor:
        """The binary cross-entropy of all targets together, in nats.

        Args:
            scores: ``[batch, 1]``.
            targets: 0 or 1, ``[batch]``.
        """
        losses = F.binary_cross_entropy_with_logits(
            scores.float()[..., 0], targets.float(), reduction="none"
        )
        if self.class_weights is not None:
            losses = losses * self.class_weights[targets]
        return losses.sum()


class MultiLabelHead(Head):
    """A sigmoid for each of several labels that hold or do not: its loss is the binary
    cross-entropy, a mean over the labels.

    Args:
        hidden_size: the width of the recurrence's output.
        labels: how many there are.
    """

    def __init__(self, hidden_size: int, labels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(hidden_size, labels)

    def scores(self, hidden: Tensor) -> Tensor:
        """Logits ``[..., labels]``."""
        logits: Tensor = self.linear(hidden)
        return logits

    def loss_of_scores(self, scores: Tensor, targets: Tensor) -> Tensor:
        """The loss of all targets together, in nats.

        Args:
            scores: ``[..., labels]``.
            targets: 0 or 1, ``[..., labels]``, ``IGNORE`` throughout where there is none.
        """
        there = targets != IGNORE
        losses = F.binary_cross_entropy_with_logits(
            scores.float(), targets.clamp(min=0).float(), reduction="none"
        )
        return (losses * there).mean(-1).sum()

    def flops(self) -> int:
        return 2 * self.linear.in_features * self.linear.out_features


class TiedHead(LinearHead):
    """A linear head that shares the embedding's matrix (Press & Wolf 2017).

    Where the widths differ, a matrix without bias goes from the hidden size to the embedding size
    first.
    """

    def __init__(self, hidden_size: int, embedding: Embedding) -> None:
        nn.Module.__init__(self)
        size = embedding.embedding_dim
        self.projection = None
        if hidden_size != size:
            self.projection = nn.Linear(hidden_size, size, bias=False)
        self.linear = nn.Linear(size, embedding.num_embeddings)
        # Unit variance would start the tied head with logits of the size of √embedding_size.
        nn.init.normal_(embedding.weight, std=size**-0.5)
        self.linear.weight = embedding.weight


class ValueHead(Head):
    """One linear layer to real values: its loss is the squared error.

    Args:
        hidden_size: the width of the recurrence's output.
        values: how many values a target has.
    """

    def __init__(self, hidden_size: int, values: int) -> None:
        super().__init__()
        self.linear = nn.Linear(hidden_size, values)

    def scores(self, hidden: Tensor) -> Tensor:
        """Predicted values ``[..., values]``."""
        predicted: Tensor = self.linear(hidden)
        return predicted

    def loss_of_scores(self, scores: Tensor, targets: Tensor) -> Tensor:
        """The squared errors of all targets together, each target's a mean over its values.

        Args:
            scores, targets: ``[..., values]``.
        """
        return F.mse_loss(scores.float(), targets.float(), reduction="none").mean(-1).sum()

    def flops(self) -> int:
        return 2 * self.linear.in_features * self.linear.out_features


def at_least_fp32(scores: Tensor) -> Tensor:
    """In fp32, or in double precision where they are."""
    return scores if scores.dtype == torch.float64 else scores.float()
