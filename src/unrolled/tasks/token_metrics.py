"""The metrics of predicted tokens: exact sums over a whole split, at any vocabulary.

torchmetrics' perplexity sums in the precision of the logits; here sums are float64.
"""

import math
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional as F

from unrolled.data.batches import IGNORE
from unrolled.metrics.classes import ClassCounts
from unrolled.models.heads import Head

# Scores are made for so many tokens at a time that there are no more than this at once (128 MB).
SCORES = 1 << 25
# Top-5 accuracy: whether the target is among so many most probable tokens.
BEST = 5


@runtime_checkable
class Ranks(Protocol):
    """A head that finds its most probable tokens without the scores of all."""

    def ranked(self, hidden: Tensor, targets: Tensor, best: int) -> tuple[Tensor, Tensor]:
        """The loss of each target ``[rows]``, and the most probable tokens ``[rows, best]``."""
        ...


class TokenMetrics(ClassCounts):
    """Loss, perplexity, bits per character, accuracy, precision, recall and F1 of one split.

    Perplexity is exp(total negative log-likelihood / total tokens): never a mean of batches'
    perplexities, so neither batch size nor chunk length changes it.

    Memory is bounded: dense scores are made for a part of the tokens at a time.

    Args:
        vocabulary_size: the number of classes.
        tokens_per_character: tokens of the split / characters of its raw text, for bits per
            character; None: without them.
    """

    higher_is_better = False

    nll: Tensor
    tokens: Tensor
    top5: Tensor

    def __init__(self, vocabulary_size: int, tokens_per_character: float | None = 1.0) -> None:
        super().__init__(vocabulary_size)
        self.tokens_per_character = tokens_per_character
        self.add_state("nll", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        # A tensor each: until its first reset a metric adds into the very tensor it was given.
        for name in ("tokens", "top5"):
            self.add_state(name, torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, head: Head, hidden: Tensor, targets: Tensor) -> None:
        """Add a chunk.

        Args:
            hidden: what the head reads, ``[time, batch, hidden_size]``.
            targets: ids ``[time, batch]``, ``IGNORE`` where there is none.

        Either may lack ``time``, where each sequence has one target.
        """
        if targets.numel() * self.classes <= SCORES:
            self._add(head, hidden, targets)
            return
        rows = max(1, SCORES // self.classes)
        parts = zip(hidden.flatten(0, -2).split(rows), targets.flatten().split(rows), strict=True)
        for part, wanted in parts:
            self._add(head, part, wanted)

    def _add(self, head: Head, hidden: Tensor, targets: Tensor) -> None:
        """Add some tokens together."""
        best = min(BEST, self.classes)
        if isinstance(head, Ranks):
            kept = targets != IGNORE
            targets = targets[kept]
            self._count(*head.ranked(hidden[kept], targets, best), targets)
            return
        logits = head.scores(hidden).flatten(0, -2).float()
        targets = targets.flatten()
        kept = targets != IGNORE
        if not bool(kept.all()):
            logits, targets = logits[kept], targets[kept]
        losses = F.cross_entropy(logits, targets, reduction="none")
        # Not a target's rank by comparisons: that takes four times as long at 10,000 classes, and
        # lets tied scores, which bf16 has many of, share a place.
        self._count(losses, logits.topk(best, dim=-1).indices, targets)

    def _count(self, losses: Tensor, places: Tensor, targets: Tensor) -> None:
        self.nll += losses.double().sum()
        self.tokens += targets.numel()
        self.top5 += (places == targets[:, None]).sum()
        self.count(places[:, 0], targets)

    def compute(self) -> dict[str, float]:
        """Every metric by its name, without the split."""
        tokens = int(self.tokens)
        loss = float(self.nll) / tokens
        scores = self.scores()
        return {
            **from_loss(loss, self.tokens_per_character),
            "accuracy": scores.accuracy,
            "accuracy_top5": int(self.top5) / tokens,
            "precision_macro": scores.precision,
            "recall_macro": scores.recall,
            "f1_macro": scores.f1,
            # With one label a token, micro-averaged precision, recall and F1 are the accuracy.
            "precision_micro": scores.accuracy,
            "recall_micro": scores.accuracy,
            "f1_micro": scores.accuracy,
        }


def from_loss(loss: float, tokens_per_character: float | None) -> dict[str, float]:
    """Loss, perplexity and bits per character.

    Args:
        loss: mean negative log-likelihood of a token, in nats.
        tokens_per_character: for bits per character, total bits / characters of raw text; None:
            without them.
    """
    figures = {"loss": loss, "perplexity": math.exp(loss) if loss < 700 else math.inf}
    if tokens_per_character is not None:
        figures["bits_per_character"] = loss * tokens_per_character / math.log(2)
    return figures
