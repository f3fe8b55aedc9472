"""The surprisal of tokens from the scores of what might have come in their place."""

import math
from collections.abc import Iterator
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from unrolled.data.text_tokenizer import TextTokenizer
from unrolled.tasks.generation import Surprisal


class Describe:
    """Makes a ``Surprisal`` of each token of a text, in their order.

    Args:
        alternatives: how many of the most probable tokens are given with each.
    """

    def __init__(self, tokenizer: TextTokenizer, alternatives: int) -> None:
        self.alternatives = min(alternatives, tokenizer.vocabulary_size)
        self.unknown = tokenizer.unknown_id
        self.added = tokenizer.stream()
        self.decoded = lru_cache(maxsize=10_000)(lambda index: tokenizer.decode([index]))

    def __call__(self, logits: Tensor, targets: Tensor) -> Iterator[Surprisal]:
        """Of the logits ``[tokens, vocabulary]`` and the tokens ``[tokens]``."""
        logits, targets = logits.float().cpu(), targets.cpu()
        losses = F.cross_entropy(logits, targets, reduction="none").double()
        ranks = 1 + (logits > logits.gather(1, targets[:, None])).sum(1)
        best = torch.softmax(logits, -1).topk(self.alternatives)
        rows = zip(
            targets.tolist(),
            (losses / math.log(2)).tolist(),
            ranks.tolist(),
            best.indices.tolist(),
            best.values.tolist(),
            strict=True,
        )
        for token, bits, rank, others, probabilities in rows:
            yield Surprisal(
                self.added(token),
                bits,
                rank,
                token == self.unknown,
                [(self.decoded(i), p) for i, p in zip(others, probabilities, strict=True)],
            )
