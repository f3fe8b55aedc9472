"""What a head reads of a sequence's outputs: the last one, or a mean, maximum or attention."""

from typing import Literal

import torch
from torch import Tensor, nn

Readout = Literal["every", "last", "mean", "max", "attention"]


class Attention(nn.Module):
    """A weighted mean over time: the weights are softmax(uᵀ tanh(W yₜ + b)).

    Yang et al. 2016, Hierarchical Attention Networks for Document Classification, eqs. 5 to 7.

    Args:
        size: the width of what is read.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.projection = nn.Linear(size, size)
        self.context = nn.Parameter(torch.empty(size))
        nn.init.normal_(self.context, std=size**-0.5)

    def forward(self, y: Tensor, there: Tensor | None) -> Tensor:
        """From ``[time, batch, size]`` to ``[batch, size]``.

        Args:
            there: ``[time, batch]``, whether a sequence has this step; None where all have all.
        """
        weights = torch.tanh(self.projection(y)) @ self.context
        if there is not None:
            weights = weights.masked_fill(~there, -torch.inf)
        # In fp32, as PyTorch has it under autocast, too.
        return (weights.softmax(0, dtype=torch.float32).to(y.dtype)[..., None] * y).sum(0)


def last(y: Tensor, lengths: Tensor | None, directions: int) -> Tensor:
    """Each direction's output where it ends: ``[batch, size]``.

    Args:
        y: ``[time, batch, size]``, of both directions side by side.
    """
    columns = torch.arange(y.shape[1], device=y.device)
    end = y[-1] if lengths is None else y[lengths - 1, columns]
    if directions == 1:
        return end
    half = y.shape[-1] // 2
    return torch.cat([end[:, :half], y[0, :, half:]], -1)


def mean(y: Tensor, lengths: Tensor | None) -> Tensor:
    """The mean over each sequence's steps; what is padded in ``y`` is zero."""
    if lengths is None:
        return y.mean(0)
    return y.sum(0) / lengths.to(y.dtype)[:, None]


def maximum(y: Tensor, there: Tensor | None) -> Tensor:
    """The largest of each feature over each sequence's steps."""
    if there is not None:
        y = y.masked_fill(~there[..., None], -torch.inf)
    return y.amax(0)


def steps_there(lengths: Tensor, time: int) -> Tensor:
    """Whether a sequence has a step: ``[time, batch]``."""
    return torch.arange(time, device=lengths.device)[:, None] < lengths


def aligned(inputs: Tensor, lengths: Tensor) -> Tensor:
    """Inputs ``[time, batch, ...]`` that are padded on the left, padded on the right."""
    time, batch = inputs.shape[:2]
    times = torch.arange(time, device=inputs.device)[:, None] + (time - lengths)
    columns = torch.arange(batch, device=inputs.device)
    # Behind a sequence's end it begins again: any value does, since nothing reads it.
    return inputs[times % time, columns]
