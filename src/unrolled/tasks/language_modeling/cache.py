"""The neural cache: what followed the latest states that were like this one."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from unrolled.data.batches import IGNORE
from unrolled.models.heads import Head
from unrolled.tasks.adaptation import NeuralCache


class CacheMemory:
    """The latest states of one text and the tokens that followed them (Grave, Joulin & Usunier
    2017, equations 2 to 4).

    The cache's probability of w is the sum of exp(theta · h_t · h_i) over those i of the latest
    ``size`` before t that w followed, divided by the sum over all of them; the result is
    (1 - lambda) of the model's probability and lambda of the cache's. The first token of a text
    has no cache, and the model's probability.

    Memory is ``size`` states, whatever the length of the text.
    """

    def __init__(self, options: NeuralCache) -> None:
        self.options = options
        self.states: Tensor | None = None
        self.tokens: Tensor | None = None

    @torch.no_grad()
    def predict_and_store(self, hidden: Tensor, targets: Tensor, model: Tensor) -> Tensor:
        """The mixed log-probabilities of a chunk; a target is known to the positions after it.

        Args:
            hidden: what the head reads, ``[time, hidden_size]``.
            targets: the token after each, ``[time]``.
            model: the model's log-probabilities, ``[time, vocabulary]``.

        Returns:
            ``[time, vocabulary]``
        """
        size, share = self.options.size, self.options.lambda_
        before = 0 if self.states is None else len(self.states)
        states = hidden if self.states is None else torch.cat([self.states, hidden])
        tokens = targets if self.tokens is None else torch.cat([self.tokens, targets])
        places = torch.arange(len(tokens), device=hidden.device)
        now = places[before:, None]
        known = (places < now) & (places >= now - size)
        scores = (self.options.theta * (hidden @ states.T)).masked_fill(~known, -math.inf)
        found = known.any(-1, keepdim=True)
        # A row without any would be NaN; its probabilities are not used.
        weights = torch.where(found, scores, torch.zeros_like(scores)).softmax(-1)
        cached = torch.zeros_like(model).index_add_(1, tokens, weights)
        mixed = torch.logaddexp(model + math.log1p(-share), (share * cached).log())
        # A copy, or the whole chunk would be kept in memory.
        self.states, self.tokens = states[-size:].clone(), tokens[-size:].clone()
        return torch.where(found, mixed, model)


class Normalized(Head):
    """A head for what are log-probabilities already."""

    def scores(self, hidden: Tensor) -> Tensor:
        """Log-probabilities ``[..., vocabulary]``, as they are."""
        return hidden

    def loss_of_scores(self, scores: Tensor, targets: Tensor) -> Tensor:
        """The negative log-likelihood of all targets together, in nats."""
        return F.nll_loss(
            scores.flatten(0, -2), targets.flatten(), ignore_index=IGNORE, reduction="sum"
        )

    def flops(self) -> int:
        """None."""
        return 0
