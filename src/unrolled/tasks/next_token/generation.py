"""Text from a model that reads its whole context for each token."""

from collections.abc import Callable, Collection, Iterator, Sequence

import torch

from unrolled.models.model import RecurrentModel
from unrolled.tasks.sampling import Sampling


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
    was_training = model.training
    model.eval()
    try:
        device = next(model.parameters()).device
        generator = torch.Generator().manual_seed(seed)
        ids = list(prompt)
        for _ in range(length):
            read = torch.tensor(list(context(ids)), device=device)[:, None]
            hidden, _states = model(read)
            token = sampling.draw(model.head.scores(hidden)[0].float().cpu(), generator)
            if token in stop:
                return
            yield token
            ids.append(token)
    finally:
        model.train(was_training)
