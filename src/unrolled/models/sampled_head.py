"""Sampled softmax: a linear head that is trained on a sample of the tokens.

Bengio & Senécal, "Adaptive importance sampling to accelerate training of a neural probabilistic
language model", 2008; Jean, Cho, Memisevic & Bengio, "On using very large target vocabulary for
neural machine translation", ACL 2015 (arXiv 1412.2007).
"""

import math
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from unrolled.data.batches import IGNORE
from unrolled.models.clusters import Ids
from unrolled.models.encoders import Embedding
from unrolled.models.heads import LinearHead, TiedHead, at_least_fp32

Proposal = Literal["unigram", "log_uniform"]


class SampledHead(LinearHead):
    """A linear head, tied or not, whose training loss is a sampled softmax's.

    In training, the sum over the vocabulary that normalizes a target's probability is the target's
    own term and an estimate of the others' by importance sampling: ``samples`` tokens are drawn
    with replacement from the proposal Q, for all targets of a step together, the target itself
    is left out, and log(samples · Q) is subtracted from each one's score. The estimate of the sum
    has no bias; that of its logarithm, the loss, is a little low. In evaluation the loss is exact.

    The draws are of PyTorch's global generator, as those of dropout are, so that the seed decides
    them and a run that is continued goes on with them.

    Args:
        hidden_size: the width of the recurrence's output.
        tokens: how many there are.
        samples: drawn at each step.
        proposal: ``unigram``: by the frequency of the training split's targets, one added to each
            count. ``log_uniform``: by the rank of that, Q(r) = log((r + 2) / (r + 1)) /
            log(tokens + 1) with r from 0.
        counts: how often each token is a target of the training split, ``[tokens]``; None: not
            known, for a model that gets the proposal with its weights.
        embedding: whose matrix the head shares; None: it has its own.
    """

    log_proposal: Tensor

    def __init__(
        self,
        hidden_size: int,
        tokens: int,
        *,
        samples: int,
        proposal: Proposal,
        counts: Ids | None,
        embedding: Embedding | None = None,
    ) -> None:
        super(LinearHead, self).__init__()
        exact = (
            LinearHead(hidden_size, tokens)
            if embedding is None
            else TiedHead(hidden_size, embedding)
        )
        self.projection, self.linear = exact.projection, exact.linear
        self.samples = samples
        known = np.zeros(tokens, dtype=np.int64) if counts is None else counts
        self.register_buffer("log_proposal", _log_proposal(known, proposal))

    def loss(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """The negative log-likelihood of all targets together, in nats: exact in evaluation,
        estimated in training."""
        return self._estimate(hidden, targets) if self.training else super().loss(hidden, targets)

    def loss_and_predictions(self, hidden: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        loss = self.loss(hidden, targets)
        with torch.no_grad():
            return loss, self.predictions(self.scores(hidden))

    def flops(self) -> int:
        """Floating-point operations of a target's loss in training, two for each
        multiplication."""
        width = self.linear.in_features
        own = 0 if self.projection is None else 2 * self.projection.in_features * width
        return own + 2 * width * (1 + self.samples)

    def _estimate(self, hidden: Tensor, targets: Tensor) -> Tensor:
        x, targets = hidden.reshape(-1, hidden.shape[-1]), targets.flatten()
        kept = targets != IGNORE
        if not bool(kept.all()):
            x, targets = x[kept], targets[kept]
        if self.projection is not None:
            x = self.projection(x)
        # In double precision, since the rarest tokens' shares vanish in the sums of fp32.
        chances = self.log_proposal.double().exp()
        drawn = torch.multinomial(chances, self.samples, replacement=True)
        # Gathered at once, since each gather's gradient is as large as the matrix.
        rows = torch.cat([targets, drawn])
        parts = [len(targets), self.samples]
        own_weight, weight = F.embedding(rows, self.linear.weight).split(parts)
        own_bias, bias = self.linear.bias[rows].split(parts)
        own = at_least_fp32((x * own_weight).sum(-1)) + own_bias
        correction = math.log(self.samples) + self.log_proposal[drawn]
        others = at_least_fp32(F.linear(x, weight)) + (bias - correction)
        others = others.masked_fill(drawn == targets[:, None], -torch.inf)
        losses: Tensor = torch.cat([own[:, None], others], 1).logsumexp(1) - own
        return losses.sum()


def _log_proposal(counts: Ids, proposal: Proposal) -> Tensor:
    """log Q of each token, in fp32."""
    if proposal == "unigram":
        chances = (counts + 1) / (counts + 1).sum()
    else:
        ranks = np.empty(len(counts))
        ranks[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
        chances = np.log1p(1 / (ranks + 1)) / math.log(len(counts) + 1)
    return torch.from_numpy(np.log(chances)).float()
