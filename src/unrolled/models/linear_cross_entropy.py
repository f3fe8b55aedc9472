"""The cross-entropy of a linear layer with many classes, its products in half precision.

The scores of all classes are the largest tensor of a training step. Here they exist once, in half
precision: the loss and its gradient are computed from them in one pass, and the gradient takes
their place. What is summed over classes is summed in fp32.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from unrolled.data.batches import IGNORE
from unrolled.kernels.cross_entropy import cross_entropy
from unrolled.kernels.library import library

# Scores that are held at a time; a gradient of more is added up block by block.
BLOCK = 1 << 25
# Scores that are looked at in fp32 at a time: they stay in the processor's cache.
CACHED = 1 << 18
# A probability above which its logarithm is exact to the last digits of fp32.
SMALLEST = 1e-30


def linear_cross_entropy(
    hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, half: torch.dtype
) -> Tensor:
    """The negative log-likelihood of all targets together, in nats and fp32.

    Args:
        hidden: ``[rows, inputs]``.
        weight, bias: of the linear layer, ``[classes, inputs]`` and ``[classes]``.
        targets: classes ``[rows]``, ``IGNORE`` where there is none.
        half: the type that the factors of products are rounded to.
    """
    loss: Tensor = _LinearCrossEntropy.apply(  # type: ignore[no-untyped-call]
        hidden, weight, bias, targets, half
    )
    return loss


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, half: torch.dtype
    ) -> Tensor:
        x, w, b = (part.to(half) for part in (hidden, weight, bias))
        rows = max(1, BLOCK // len(weight))
        blocks = range(0, max(1, len(x)), rows)
        loss = x.new_zeros((), dtype=torch.float32)
        for_hidden, gradients = [], None
        gradient = any(ctx.needs_input_grad)
        for start in blocks:
            x_block, scores = x[start : start + rows], F.linear(x[start : start + rows], w, b)
            loss += _losses(scores, targets[start : start + rows], gradient=gradient).sum()
            if not gradient:
                continue
            for_hidden.append(scores @ w)
            # A product with ones, which adds up in fp32 and reads half precision.
            ones = scores.new_ones(1, len(scores))
            parts = (scores.t() @ x_block).to(weight), (ones @ scores)[0].to(bias)
            gradients = _sum(gradients, parts)
        if gradients is not None:
            ctx.save_for_backward(torch.cat(for_hidden).to(hidden), *gradients)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        scaled = (part * grad for part in ctx.saved_tensors)
        needed = zip(scaled, ctx.needs_input_grad, strict=False)
        return (*(part if needs else None for part, needs in needed), None, None)


def _losses(scores: Tensor, targets: Tensor, *, gradient: bool) -> Tensor:
    """The losses of a block, whose scores are replaced by their gradient where it is asked for."""
    if scores.dtype == torch.bfloat16 and scores.device.type == "cpu" and library() is not None:
        return cross_entropy(scores, targets, gradient=gradient)
    return _losses_by_pytorch(scores, targets)


def _losses_by_pytorch(scores: Tensor, targets: Tensor) -> Tensor:
    """As ``_losses``; the scores are always replaced."""
    rows = max(1, CACHED // scores.shape[-1])
    losses = []
    for part, target in zip(scores.split(rows), targets.split(rows), strict=True):
        there = target != IGNORE
        classes = target.where(there, 0)[:, None]
        full = part.float()
        probabilities = full.softmax(-1)
        chosen = probabilities.gather(1, classes)
        if bool((chosen > SMALLEST).all()):
            loss = -chosen.log()[:, 0]
        else:
            loss = (full.logsumexp(-1, keepdim=True) - full.gather(1, classes))[:, 0]
        probabilities.scatter_add_(1, classes, probabilities.new_full(classes.shape, -1))
        if not bool(there.all()):
            loss = loss.where(there, 0)
            probabilities *= there[:, None]
        losses.append(loss)
        part.copy_(probabilities)
    return torch.cat(losses)


def _sum(sums: tuple[Tensor, ...] | None, parts: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    if sums is None:
        return parts
    return tuple(total.add_(part) for total, part in zip(sums, parts, strict=True))
