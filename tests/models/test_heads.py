import pytest
import torch
from torch.nn import functional as F

from unrolled.data.batches import IGNORE
from unrolled.models.encoders import Embedding
from unrolled.models.heads import LinearHead, TiedHead, ValueHead

TIME, BATCH, HIDDEN, CLASSES = 5, 3, 6, 11


def linear_heads() -> list[LinearHead]:
    torch.manual_seed(0)
    return [
        LinearHead(HIDDEN, CLASSES),
        TiedHead(HIDDEN, Embedding(CLASSES, HIDDEN)),
        TiedHead(HIDDEN, Embedding(CLASSES, 4)),
    ]


@pytest.mark.parametrize("place", range(3))
def test_the_loss_is_the_sum_of_the_targets_log_probabilities(place: int) -> None:
    head = linear_heads()[place].double()
    hidden = torch.randn(TIME, BATCH, HIDDEN, dtype=torch.float64)
    targets = torch.randint(0, CLASSES, (TIME, BATCH))
    targets[2, 1] = IGNORE
    logs = head.log_probabilities(hidden)
    torch.testing.assert_close(logs.exp().sum(-1), torch.ones(TIME, BATCH))
    kept = targets != IGNORE
    expected = -logs[kept].gather(-1, targets[kept][:, None]).sum()
    torch.testing.assert_close(head.loss(hidden, targets), expected)
    loss, predicted = head.loss_and_predictions(hidden, targets)
    assert torch.equal(loss, head.loss(hidden, targets))
    assert torch.equal(predicted, logs.argmax(-1))
    torch.testing.assert_close(F.log_softmax(head.scores(hidden).float(), -1), logs)


def test_a_head_of_values_has_the_squared_error() -> None:
    head = ValueHead(HIDDEN, 2)
    hidden, targets = torch.randn(BATCH, HIDDEN), torch.randn(BATCH, 2)
    expected = sum(F.mse_loss(head.scores(hidden)[i], targets[i]) for i in range(BATCH))
    torch.testing.assert_close(head.loss(hidden, targets), torch.as_tensor(expected))
    loss, predicted = head.loss_and_predictions(hidden, targets)
    assert torch.equal(loss, head.loss(hidden, targets))
    assert torch.equal(predicted, head.scores(hidden))
    assert not predicted.requires_grad


def test_arithmetic_is_that_of_the_products() -> None:
    plain, tied, projected = linear_heads()
    assert plain.flops() == tied.flops() == 2 * HIDDEN * CLASSES
    assert projected.flops() == 2 * (HIDDEN * 4 + 4 * CLASSES)
    assert ValueHead(HIDDEN, 2).flops() == 2 * HIDDEN * 2
