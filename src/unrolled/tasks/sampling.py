"""Text from a language model, drawn one token at a time, one text or several side by side."""

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unrolled.errors import ConfigError
from unrolled.models.model import RecurrentModel
from unrolled.recurrence.stack import States
from unrolled.tasks.generation import Request


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn.

    Attributes:
        temperature: divides the logits; 0 takes the most probable token (greedy).
        top_k: draw among the k most probable tokens; None for all.
        top_p: draw among the most probable tokens that together have this probability (Holtzman
            2020).
        repetition_penalty: see ``penalized``.

    Raises:
        ConfigError: a value that no draw could use.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    repetition_penalty: float = 1.0

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


def sampling_of(request: Request) -> Sampling:
    """How a request draws.

    Raises:
        ConfigError: a value that no draw could use.
    """
    return Sampling(request.temperature, request.top_k, request.top_p, request.repetition_penalty)


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
    steps = generate_together(
        model, [prompt], length=length, sampling=sampling, seeds=[seed], stop=stop
    )
    for (token,) in steps:
        assert token is not None
        yield token


@torch.no_grad()
def generate_together(
    model: RecurrentModel,
    prompts: Sequence[Sequence[int]],
    *,
    length: int,
    sampling: Sampling,
    seeds: Sequence[int],
    stop: int | None = None,
    width: int = 1,
) -> Iterator[list[int | None]]:
    """The next token ids of all prompts, step by step; None where a text has ended.

    Args:
        prompts, length, stop: as of ``generate``.
        seeds: of each prompt's own generator.
        width: the model reads at least so many texts at a time, copies where there are not as
            many. A sum may be rounded otherwise in a batch of another size, so that only batches
            of one size give a text that does not depend on the other prompts.
    """
    with evaluating(model):
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        texts = [[*prompt] for prompt in prompts]
        ended = [False] * len(texts)
        # Each is read by itself, as if there were no other.
        read = [next_logits(model, [[token] for token in text]) for text in texts]
        logits = torch.cat([logits for logits, _ in read])
        states = _joined([states for _, states in read])
        if len(texts) < width:
            states = selected(states, [*range(len(texts)), *[0] * (width - len(texts))])
        padding = [0] * (width - len(texts))
        for step in range(length):
            drawn: list[int | None] = []
            for place, text in enumerate(texts):
                if not ended[place]:
                    ready = penalized(logits[place], text[1:], sampling.repetition_penalty)
                    text.append(sampling.draw(ready, generators[place]))
                    ended[place] = text[-1] == stop
                drawn.append(None if ended[place] else text[-1])
            if all(ended):
                return
            yield drawn
            if step + 1 < length:
                logits, states = next_logits(
                    model, [[*(text[-1] for text in texts), *padding]], states
                )


def penalized(logits: Tensor, used: Sequence[int], penalty: float) -> Tensor:
    """Logits ``[vocabulary]``, those of used tokens lowered: positive ones divided by the penalty,
    negative ones multiplied (Keskar et al. 2019, CTRL)."""
    if penalty == 1 or not used:
        return logits
    places = torch.tensor(sorted(set(used)))
    old = logits[places]
    return logits.scatter(0, places, torch.where(old > 0, old / penalty, old * penalty))


def next_logits(
    model: RecurrentModel, tokens: Sequence[Sequence[int]], states: States | None = None
) -> tuple[Tensor, States]:
    """The logits of what follows the tokens ``[time, batch]``, ``[batch, vocabulary]`` on the CPU,
    and the states after them."""
    device = next(model.parameters()).device
    hidden, states = model(torch.tensor(tokens, device=device), states)
    return model.head.scores(hidden)[-1].float().cpu(), states


def selected(states: States, rows: Sequence[int]) -> States:
    """The states of some texts of a batch, in a new order."""
    return tuple(tuple(part[rows] for part in state) for state in states)


@contextlib.contextmanager
def evaluating(model: RecurrentModel) -> Iterator[None]:
    """No dropout meanwhile; the model's mode is given back."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def _joined(each: Sequence[States]) -> States:
    """The states of a batch, of its texts' states."""
    return tuple(
        tuple(torch.cat(parts) for parts in zip(*cell, strict=True))
        for cell in zip(*each, strict=True)
    )
