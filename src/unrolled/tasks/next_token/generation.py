"""Text from a model that reads its whole context for each token."""

from collections.abc import Callable, Collection, Iterator, Sequence

import torch

from unrolled.data.batches import ExampleBatches, Examples
from unrolled.data.sequences import Windows
from unrolled.data.text_tokenizer import TextTokenizer
from unrolled.models.model import RecurrentModel
from unrolled.tasks.generation import Surprisal
from unrolled.tasks.next_token.contexts import Targets
from unrolled.tasks.sampling import Sampling, evaluating, penalized
from unrolled.tasks.surprisal import Describe


@torch.no_grad()
def generate(
    model: RecurrentModel,
    prompt: Sequence[int],
    context: Callable[[Sequence[int]], Sequence[int]],
    *,
    length: int,
    sampling: Sampling,
    seed: int,
    stop: Collection[int] = (),
) -> Iterator[int]:
    """Token ids that continue ``prompt``, as they are drawn.

    Args:
        prompt: ids, at least one.
        context: what the model reads of all ids so far.
        length: at most so many tokens.
        seed: of a generator of its own, so that sampling disturbs no other random choice.
        stop: token ids that end the text (they are not yielded).
    """
    with evaluating(model):
        device = next(model.parameters()).device
        generator = torch.Generator().manual_seed(seed)
        ids = list(prompt)
        for _ in range(length):
            read = torch.tensor(list(context(ids)), device=device)[:, None]
            hidden, _states = model(read)
            logits = model.head.scores(hidden)[0].float().cpu()
            ready = penalized(logits, ids[1:], sampling.repetition_penalty)
            token = sampling.draw(ready, generator)
            if token in stop:
                return
            yield token
            ids.append(token)


@torch.no_grad()
def surprisals(
    model: RecurrentModel,
    tokenizer: TextTokenizer,
    contexts: tuple[Windows, Targets],
    batch_size: int,
    alternatives: int,
) -> Iterator[Surprisal]:
    """The surprisal of the token after each context, in their order.

    Args:
        contexts: each one's tokens, and the token after it.
        alternatives: how many of the most probable tokens are given with each.
    """
    describe = Describe(tokenizer, alternatives)
    device = next(model.parameters()).device
    examples = Examples(*contexts)
    with evaluating(model):
        for places in ExampleBatches(len(examples), batch_size):
            batch = examples[places]
            hidden, _ = model(batch.inputs.to(device), None, batch.lengths)
            yield from describe(model.head.scores(hidden), batch.targets)
