"""Beam search: the most probable continuation that a few beams find."""

from collections.abc import Sequence

import torch

from unrolled.models.model import RecurrentModel
from unrolled.tasks.sampling import (
    evaluating,
    next_logits,
    penalized,
    selected,
)


@torch.no_grad()
def beam_search(
    model: RecurrentModel,
    prompt: Sequence[int],
    *,
    beams: int,
    length: int,
    stop: int | None = None,
    repetition_penalty: float = 1.0,
) -> list[int]:
    """The token ids of the best continuation found.

    At each step the most probable continuations of all beams by one token become the beams. One
    that ends keeps its place among them (Sutskever et al. 2014), so that one beam is greedy, and
    beams enough for every continuation find the best there is. Continuations of one length are
    compared by their probability, and at the end those of unequal lengths by their mean
    log-probability per token, the end's own included; a sum would favour the shortest.

    Args:
        prompt: ids, at least one; the tokenizer's ``start_id`` begins a text.
        beams: at least one.
        length: at most so many tokens.
        stop: a token id that ends a continuation (it is not returned).
        repetition_penalty: see ``penalized``; the probabilities are those of the lowered logits.
    """
    with evaluating(model):
        ended: list[tuple[float, list[int]]] = []
        texts: list[list[int]] = [[]]
        totals = torch.zeros(1, dtype=torch.float64)
        logits, states = next_logits(model, [[token] for token in prompt])
        for step in range(length):
            lowered = [
                penalized(row, [*prompt[1:], *text], repetition_penalty)
                for row, text in zip(logits, texts, strict=True)
            ]
            # In float64 no two tokens are tied whose logits are not.
            scores = totals[:, None] + torch.stack(lowered).double().log_softmax(-1)
            best = scores.flatten().topk(min(beams - len(ended), scores.numel()))
            going = []
            for total, place in zip(best.values.tolist(), best.indices.tolist(), strict=True):
                parent, token = divmod(place, scores.shape[-1])
                if token == stop:
                    ended.append((total / (step + 1), texts[parent]))
                else:
                    going.append((total, parent, token))
            totals = torch.tensor([total for total, _, _ in going], dtype=torch.float64)
            texts = [[*texts[parent], token] for _, parent, token in going]
            if not going or step + 1 == length:
                break
            states = selected(states, [parent for _, parent, _ in going])
            logits, states = next_logits(model, [[token for _, _, token in going]], states)
        whole = [
            (total / length, text) for total, text in zip(totals.tolist(), texts, strict=True)
        ]
        return max([*ended, *whole], key=lambda found: found[0])[1]
