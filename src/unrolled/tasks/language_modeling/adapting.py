"""Evaluating a language model that adapts to the text: each token is predicted before it is
learned from."""

from collections.abc import Generator

import torch
from torch import Tensor

from unrolled.data.streams import Streams
from unrolled.data.tokens import Ids, TokenizedCorpus
from unrolled.models.heads import Distribution, Head
from unrolled.models.model import RecurrentModel
from unrolled.recurrence.stack import States, detach
from unrolled.tasks.adaptation import Adaptation
from unrolled.tasks.language_modeling.cache import CacheMemory, Normalized
from unrolled.tasks.language_modeling.dynamic import (
    STREAMS,
    DynamicWeights,
    recording,
    root_mean_squares,
)
from unrolled.tasks.sampling import evaluating
from unrolled.tasks.token_metrics import SCORES, TokenMetrics

# Tokens that are read at a time where no step decides it.
CHUNK = 1000


class TextAdapter:
    """Evaluates a model that adapts, on one stream from a split's first token to its last, in
    fp32.

    Args:
        data: whose training split the statistics of gradients are of.
        model: on the device that it is to compute on.
    """

    def __init__(self, data: TokenizedCorpus, model: RecurrentModel) -> None:
        self.data = data
        self.model = model
        self.statistics: dict[tuple[int, int], list[Tensor]] = {}

    def evaluate(self, split: str, adaptation: Adaptation) -> dict[str, float]:
        """The metrics of a split, by their names without it; the weights are given back."""
        rate = self.data.tokens_per_character(split)
        metrics = TokenMetrics(self.data.fitted.vocabulary_size, rate)
        metrics.to(next(self.model.parameters()).device)
        for head, hidden, targets in self.predictions(self.data.ids[split], adaptation):
            with torch.no_grad():
                metrics.update(head, hidden, targets)
        return metrics.compute()

    def predictions(
        self, ids: Ids, adaptation: Adaptation
    ) -> Generator[tuple[Head, Tensor, Tensor], None, None]:
        """Chunk by chunk a head, what it reads ``[time, 1, width]`` and the targets ``[time, 1]``.

        A chunk is learned from when the next one is asked for, so its head is used before.
        """
        model, device = self.model, next(self.model.parameters()).device
        head = model.head
        dynamic, cache = adaptation.dynamic, adaptation.cache
        assert isinstance(head, Distribution)
        length = min(CHUNK, max(1, SCORES // head.classes))
        length = length if dynamic is None else dynamic.steps
        chunks = Streams(ids, self.data.fitted.start_id, 1, length, split="evaluated")
        memory = None if cache is None else CacheMemory(cache)
        with evaluating(model):
            weights = None
            if dynamic is not None:
                squares = self._root_mean_squares(adaptation) if dynamic.rule == "rms" else None
                weights = DynamicWeights(model, dynamic, squares)
            try:
                states: States | None = None
                for place in range(len(chunks)):
                    chunk = chunks[place]
                    inputs, targets = chunk.inputs.to(device), chunk.targets.to(device)
                    with torch.no_grad() if weights is None else recording():
                        hidden, states = model(inputs, states)
                        loss = None
                        if weights is not None:
                            loss = head.loss(hidden, targets) / chunk.size
                    states, read = detach(states), hidden.detach()
                    if memory is None:
                        yield head, read, targets
                    else:
                        with torch.no_grad():
                            own = head.log_probabilities(read[:, 0])
                        mixed = memory.predict_and_store(read[:, 0], targets[:, 0], own)
                        yield Normalized(), mixed[:, None], targets
                    if weights is not None and loss is not None:
                        weights.learn(loss)
            finally:
                if weights is not None:
                    weights.restore()

    def _root_mean_squares(self, adaptation: Adaptation) -> list[Tensor]:
        options = adaptation.dynamic
        assert options is not None
        key = (options.steps, options.statistics)
        if key not in self.statistics:
            ids = self.data.ids["train"]
            streams = Streams(
                ids, self.data.fitted.start_id, min(STREAMS, len(ids)), options.steps
            )
            device = next(self.model.parameters()).device
            # Of the latest kind alone, or tuning would keep many.
            self.statistics = {
                key: root_mean_squares(self.model, streams, options.statistics, device)
            }
        return self.statistics[key]
