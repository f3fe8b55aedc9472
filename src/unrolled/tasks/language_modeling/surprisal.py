"""The surprisal of each token of a text, read as an evaluation reads a split."""

from collections.abc import Iterator

import torch

from unrolled.data.streams import Streams
from unrolled.data.text_tokenizer import TextTokenizer
from unrolled.models.model import RecurrentModel
from unrolled.tasks.generation import Surprisal
from unrolled.tasks.sampling import evaluating
from unrolled.tasks.surprisal import Describe
from unrolled.tasks.token_metrics import SCORES

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
    describe = Describe(tokenizer, alternatives)
    device = next(model.parameters()).device
    length = max(1, min(CHUNK, SCORES // tokenizer.vocabulary_size))
    chunks = Streams(ids, tokenizer.start_id, 1, length)
    states = None
    with evaluating(model):
        for place in range(len(chunks)):
            chunk = chunks[place]
            hidden, states = model(chunk.inputs.to(device), states)
            yield from describe(model.head.scores(hidden)[:, 0], chunk.targets[:, 0])
