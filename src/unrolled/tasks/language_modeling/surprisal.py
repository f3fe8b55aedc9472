"""The surprisal of each token of a text, read as an evaluation reads a split."""

import math
from collections.abc import Iterator
from functools import lru_cache

import torch
from torch import Tensor

from unrolled.data.streams import Streams
from unrolled.data.text_tokenizer import TextTokenizer
from unrolled.models.model import RecurrentModel
from unrolled.tasks.generation import Surprisal
from unrolled.tasks.language_modeling.metrics import SCORES
from unrolled.tasks.language_modeling.sampling import evaluating

# Tokens that are read at a time, where their scores fit.
CHUNK = 1000


@torch.no_grad()
def surprisals(
    model: RecurrentModel, tokenizer: TextTokenizer, text: str, alternatives: int = 0
) -> Iterator[Surprisal]:
    """Each token's surprisal, the state carried from the first to the last.

    Args:
        alternatives: how many of the most probable tokens are given with each.
    """
    ids = tokenizer.encode(text)
    if not len(ids):
        return
    size = tokenizer.vocabulary_size
    alternatives = min(alternatives, size)
    added, unknown = tokenizer.stream(), tokenizer.unknown_id
    decoded = lru_cache(maxsize=10_000)(lambda index: tokenizer.decode([index]))
    device = next(model.parameters()).device
    chunks = Streams(ids, tokenizer.start_id, 1, max(1, min(CHUNK, SCORES // size)))
    states = None
    with evaluating(model):
        for place in range(len(chunks)):
            chunk = chunks[place]
            hidden, states = model(chunk.inputs.to(device), states)
            logits = model.head.scores(hidden)[:, 0].float().cpu()
            targets = chunk.targets[:, 0]
            bits, ranks = _bits_and_ranks(logits, targets)
            best = logits.softmax(-1).topk(alternatives)
            rows = zip(
                targets.tolist(),
                bits.tolist(),
                ranks.tolist(),
                best.indices.tolist(),
                best.values.tolist(),
                strict=True,
            )
            for token, cost, rank, others, probabilities in rows:
                yield Surprisal(
                    added(token),
                    cost,
                    rank,
                    token == unknown,
                    [(decoded(i), p) for i, p in zip(others, probabilities, strict=True)],
                )


def _bits_and_ranks(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Of the logits ``[tokens, vocabulary]`` and the tokens ``[tokens]``."""
    losses = torch.nn.functional.cross_entropy(logits, targets, reduction="none").double()
    own = logits.gather(1, targets[:, None])
    return losses / math.log(2), 1 + (logits > own).sum(1)
