"""Text from a language model, one token at a time."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unrolled.errors import ConfigError
from unrolled.models.model import RecurrentModel


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn.

    Attributes:
        temperature: divides the logits; 0 takes the most probable token (greedy).
        top_k: draw among the k most probable tokens; None for all.
        top_p: draw among the most probable tokens that together have this probability (Holtzman
            2020).

    Raises:
        ConfigError: a value that no draw could use.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < math.inf:
            raise ConfigError(f"temperature {self.temperature}: must be 0 (greedy) or more")
        if self.top_k is not None and self.top_k < 1:
            raise ConfigError(f"top-k {self.top_k}: must be at least 1")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ConfigError(f"top-p {self.top_p}: must be above 0 and at most 1")

    def draw(self, logits: Tensor, generator: torch.Generator) -> int:
        """One token id from the logits ``[vocabulary]``."""
        if self.temperature == 0:
            return int(logits.argmax())
        logits = logits.double() / self.temperature
        if self.top_k is not None and self.top_k < len(logits):
            # By place and not by value, since tied tokens would all stay.
            best = logits.topk(self.top_k)
            logits = torch.full_like(logits, -torch.inf).scatter(0, best.indices, best.values)
        if self.top_p is not None:
            ordered, order = logits.softmax(-1).sort(descending=True)
            # A token stays if the ones before it have not yet reached the probability; the first
            # stays.
            outside = ordered.cumsum(-1) - ordered >= self.top_p
            logits = logits.masked_fill(
                torch.zeros_like(outside).scatter(0, order, outside), -torch.inf
            )
        return int(torch.multinomial(logits.softmax(-1), 1, generator=generator))


@torch.no_grad()
def generate(
    model: RecurrentModel,
    prompt: Sequence[int],
    *,
    length: int,
    sampling: Sampling,
    seed: int,
    stop: int | None = None,
) -> Iterator[int]:
    """Token ids that continue ``prompt``, as they are drawn.

    Args:
        prompt: ids, at least one; the tokenizer's ``start_id`` begins a text.
        length: at most so many tokens.
        seed: of a generator of its own, so that sampling disturbs no other random choice.
        stop: a token id that ends the text (it is not yielded).
    """
    was_training = model.training
    model.eval()
    try:
        device = next(model.parameters()).device
        generator = torch.Generator().manual_seed(seed)
        tokens = torch.tensor(list(prompt), device=device)[:, None]
        states = None
        for _ in range(length):
            hidden, states = model(tokens, states)
            logits = model.head.scores(hidden)
            token = sampling.draw(logits[-1, 0].float().cpu(), generator)
            if token == stop:
                return
            yield token
            tokens = torch.tensor([[token]], device=device)
    finally:
        model.train(was_training)
