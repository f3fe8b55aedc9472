"""The cross-entropy of scores in bf16, in C."""

import ctypes

import torch
from torch import Tensor

from unrolled.kernels.library import PARALLEL, fields, library, threaded

# Scores for which another thread is worth waking.
SHARE = 100_000


class _Scores(ctypes.Structure):
    """``Scores`` of csrc/cross_entropy.c; tensors are where they begin."""

    _fields_ = fields("classes rows parts taken gradient", "scores targets losses")


def cross_entropy(scores: Tensor, targets: Tensor, *, gradient: bool) -> Tensor:
    """The loss of each row in nats, ``[rows]`` in fp32, where there is a ``library``.

    Args:
        scores: ``[rows, classes]`` in bf16.
        targets: classes ``[rows]``; below zero: none, and a loss of zero.
        gradient: whether the gradient of the losses' sum takes the place of the scores.
    """
    csrc = library()
    assert csrc is not None
    assert scores.dtype == torch.bfloat16
    assert scores.is_contiguous()
    rows, classes = scores.shape
    targets, losses = targets.contiguous(), scores.new_empty(rows, dtype=torch.float32)
    threads = min(torch.get_num_threads(), 1 + scores.numel() // SHARE, max(1, rows))
    work = _Scores(
        classes=classes,
        rows=rows,
        parts=threads if PARALLEL else 1,
        gradient=gradient,
        scores=scores.data_ptr(),
        targets=targets.data_ptr(),
        losses=losses.data_ptr(),
    )
    threaded(csrc, "cross_entropy")(ctypes.byref(work), PARALLEL)
    return losses
