"""The cross-entropy in C is PyTorch's, of any number of classes and by any number of threads."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from compiled_passes import using_threads
from unrolled.kernels import cross_entropy as module
from unrolled.kernels.cross_entropy import cross_entropy
from unrolled.kernels.library import compiler

pytestmark = pytest.mark.skipif(compiler() is None, reason="no C compiler, or no AVX2")

NONE = -100


@pytest.fixture(autouse=True, params=[1, 3])
def _threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(module, "SHARE", 1)
    with using_threads(request.param):
        yield


def scores_of(rows: int, classes: int, scale: float = 1.0) -> tuple[Tensor, Tensor]:
    torch.manual_seed(rows + classes)
    scores = (scale * torch.randn(rows, classes)).bfloat16()
    return scores, torch.randint(0, classes, (rows,))


@pytest.mark.parametrize("classes", [1, 2, 15, 63, 64, 65, 1000])
@pytest.mark.parametrize("rows", [1, 2, 7])
@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
def test_losses_and_gradients(rows: int, classes: int, scale: float) -> None:
    scores, targets = scores_of(rows, classes, scale)
    exact = scores.double().requires_grad_()
    losses = F.cross_entropy(exact, targets, reduction="none")
    losses.sum().backward()
    assert exact.grad is not None
    before = scores.clone()
    alone = cross_entropy(scores, targets, gradient=False)
    assert torch.equal(scores, before)
    found = cross_entropy(scores, targets, gradient=True)
    assert torch.equal(found, alone)
    # Scores of a hundred differ by so much that a digit of fp32 is 1e-5.
    torch.testing.assert_close(found.double(), losses.detach(), rtol=1e-6, atol=2e-7 * (1 + scale))
    torch.testing.assert_close(scores.double(), exact.grad, rtol=2**-8, atol=1e-6)


def test_what_has_no_target_has_no_loss_and_no_gradient() -> None:
    scores, targets = scores_of(5, 70)
    targets[[1, 4]] = NONE
    losses = cross_entropy(scores, targets, gradient=True)
    assert (losses == 0).tolist() == [False, True, False, False, True]
    assert not scores[[1, 4]].any()
    assert scores[[0, 2, 3]].any(-1).all()


def test_what_is_not_a_number_stays_none_and_what_is_excluded_has_no_share() -> None:
    scores, targets = scores_of(4, 200)
    targets[:] = 7
    scores[0, 150] = torch.nan
    scores[1, 150] = torch.inf
    scores[2, 8:] = -torch.inf
    losses = cross_entropy(scores, targets, gradient=True)
    assert losses.isnan().tolist() == [True, True, False, False]
    assert scores[0].isnan().all()
    assert scores[1].isnan().any()
    assert not scores[2, 8:].any()
    assert scores[2:].isfinite().all()


def test_of_no_rows_there_are_no_losses() -> None:
    scores, targets = scores_of(0, 9)
    assert cross_entropy(scores, targets, gradient=True).shape == (0,)
