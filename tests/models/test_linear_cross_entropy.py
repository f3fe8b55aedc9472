"""The output layer's loss in half precision, against PyTorch's on dense scores."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from unrolled.data.batches import IGNORE
from unrolled.models import heads, linear_cross_entropy
from unrolled.models.encoders import Embedding
from unrolled.models.heads import LinearHead, TiedHead

ROWS, HIDDEN, CLASSES = 12, 6, 40


def leaves(scale: float = 1.0) -> list[Tensor]:
    torch.manual_seed(3)
    shapes = ((ROWS, HIDDEN), (CLASSES, HIDDEN), (CLASSES,))
    return [(scale * torch.randn(shape)).double().requires_grad_() for shape in shapes]


def targets() -> Tensor:
    chosen = torch.randint(0, CLASSES, (ROWS,), generator=torch.Generator().manual_seed(4))
    chosen[2] = IGNORE
    return chosen


@pytest.mark.parametrize("block", [1 << 25, 5 * CLASSES])
@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_loss_and_gradients_are_those_of_dense_scores(
    block: int, scale: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear_cross_entropy, "BLOCK", block)
    monkeypatch.setattr(linear_cross_entropy, "CACHED", 2 * CLASSES)
    x, w, b = leaves(scale)
    loss = linear_cross_entropy.linear_cross_entropy(x, w, b, targets(), torch.float32)
    dense = F.cross_entropy(F.linear(x, w, b), targets(), ignore_index=IGNORE, reduction="sum")
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss.double(), dense, rtol=1e-6, atol=0)
    for found, expected in zip(
        torch.autograd.grad(0.5 * loss, (x, w, b)),
        torch.autograd.grad(0.5 * dense, (x, w, b)),
        strict=True,
    ):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * scale)


def test_a_loss_beyond_the_smallest_probability_is_finite_and_right() -> None:
    x, w, b = leaves(300.0)
    loss = linear_cross_entropy.linear_cross_entropy(x, w, b, targets(), torch.float32)
    dense = F.cross_entropy(F.linear(x, w, b), targets(), ignore_index=IGNORE, reduction="sum")
    assert float(dense.detach()) > 1000 * ROWS
    torch.testing.assert_close(loss.double(), dense, rtol=1e-5, atol=0)


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("block", [1 << 25, 5 * CLASSES])
def test_scores_in_half_precision_by_compiled_code_and_by_pytorch(
    block: int, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear_cross_entropy, "BLOCK", block)
    if not compiled:
        monkeypatch.setattr(linear_cross_entropy, "library", lambda: None)
    x, w, b = (leaf.detach().float().requires_grad_() for leaf in leaves())
    loss = linear_cross_entropy.linear_cross_entropy(x, w, b, targets(), torch.bfloat16)
    dense = F.cross_entropy(F.linear(x, w, b), targets(), ignore_index=IGNORE, reduction="sum")
    torch.testing.assert_close(loss, dense, rtol=1e-2, atol=0)
    for found, expected in zip(
        torch.autograd.grad(loss, (x, w, b)), torch.autograd.grad(dense, (x, w, b)), strict=True
    ):
        assert float((found - expected).norm()) < 0.02 * float(expected.norm())


@pytest.mark.parametrize("place", range(3))
def test_a_head_under_autocast_is_close_to_itself_without(
    place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heads, "MANY_CLASSES", CLASSES)
    torch.manual_seed(0)
    head = [
        LinearHead(HIDDEN, CLASSES),
        TiedHead(HIDDEN, Embedding(CLASSES, HIDDEN)),
        TiedHead(HIDDEN, Embedding(CLASSES, 4)),
    ][place]
    hidden = torch.randn(4, 3, HIDDEN, requires_grad=True)
    chosen = targets().view(4, 3)
    leaves = [hidden, *head.parameters()]
    exact = torch.autograd.grad(head.loss(hidden, chosen), leaves)
    with torch.autocast("cpu", torch.bfloat16):
        loss = head.loss(hidden, chosen)
    rounded = torch.autograd.grad(loss, leaves)
    torch.testing.assert_close(loss, head.loss(hidden, chosen), rtol=1e-2, atol=0)
    for found, expected in zip(rounded, exact, strict=True):
        assert found.dtype == expected.dtype
        assert float((found - expected).norm()) < 0.02 * float(expected.norm())
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(head.loss(hidden, chosen), loss.detach())
