import numpy as np
import pytest
import torch
from torch import Tensor, nn

from unrolled.data.batches import IGNORE
from unrolled.models.encoders import Embedding
from unrolled.models.sampled_head import Proposal, SampledHead

HIDDEN, TOKENS = 6, 30
COUNTS = np.random.default_rng(0).integers(5, 50, TOKENS)


def made(samples: int, proposal: Proposal = "unigram", tied: int | None = None) -> SampledHead:
    torch.manual_seed(3)
    embedding = None if tied is None else Embedding(TOKENS, tied)
    head = SampledHead(
        HIDDEN, TOKENS, samples=samples, proposal=proposal, counts=COUNTS, embedding=embedding
    )
    for parameter in head.parameters():
        nn.init.normal_(parameter, std=0.5)
    return head


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    hidden = torch.randn(5, 4, HIDDEN, generator=generator)
    targets = torch.randint(0, TOKENS, (5, 4), generator=generator)
    targets[0, 2] = targets[4, 0] = IGNORE
    return hidden, targets


@pytest.mark.parametrize(
    ("proposal", "tied"), [("unigram", None), ("unigram", 4), ("log_uniform", HIDDEN)]
)
def test_with_many_samples_the_training_loss_and_its_gradient_are_the_exact_ones(
    proposal: Proposal, tied: int | None
) -> None:
    head = made(400_000, proposal, tied).double()
    hidden, targets = batch()
    hidden = hidden.double().requires_grad_()
    weights = [hidden, *head.parameters()]
    exact = head.eval().loss(hidden, targets)
    estimate = head.train().loss(hidden, targets)
    assert estimate.item() != exact.item()
    assert estimate.item() == pytest.approx(exact.item(), rel=3e-3)
    gradients = (torch.autograd.grad(loss, weights) for loss in (estimate, exact))
    # The rarest token is drawn some 2,500 times, so that its share is known to 2 %.
    for mine, expected in zip(*gradients, strict=True):
        assert (mine - expected).norm() <= 0.03 * expected.norm()


@pytest.mark.parametrize("proposal", ["unigram", "log_uniform"])
def test_the_estimate_of_the_normalizing_sum_has_no_bias(proposal: Proposal) -> None:
    """From few samples its mean over many draws is the sum; that of the loss is below the loss."""
    head = made(8, proposal).double()
    hidden, targets = batch()
    hidden, targets = hidden[1, :1].double(), targets[1, :1]
    exact = head.eval().loss(hidden, targets)
    head.train()
    torch.manual_seed(5)
    drawn = torch.stack([head.loss(hidden, targets).detach() for _ in range(1500)])
    # The loss is log(sum) - score, so sum / its exact value is exp(loss - exact loss).
    ratios = (drawn - exact.detach()).exp()
    error = float(ratios.std()) / 1500**0.5
    assert abs(float(ratios.mean()) - 1) < 4 * error < 0.2
    assert drawn.mean() < exact


def test_evaluation_is_the_linear_head() -> None:
    head = made(4).eval()
    hidden, targets = batch()
    logs = head.log_probabilities(hidden)
    kept = targets != IGNORE
    expected = -logs[kept].gather(-1, targets[kept][:, None]).sum()
    torch.testing.assert_close(head.loss(hidden, targets), expected)


def test_the_proposal_is_a_distribution_by_frequency() -> None:
    for proposal in ("unigram", "log_uniform"):
        chances = made(4, proposal).log_proposal.double().exp()
        assert chances.sum().item() == pytest.approx(1, abs=1e-6)
        assert chances.min() > 0
        by_frequency = chances[torch.from_numpy(np.argsort(-COUNTS, kind="stable"))]
        assert bool((by_frequency.diff() <= 0).all())


def test_draws_follow_from_the_global_seed() -> None:
    head = made(4).train()
    hidden, targets = batch()
    losses = []
    for seed in (1, 2, 1):
        torch.manual_seed(seed)
        losses.append(head.loss(hidden, targets).item())
    assert losses[0] == losses[2] != losses[1]
    torch.manual_seed(1)
    loss, predicted = head.loss_and_predictions(hidden, targets)
    assert loss.item() == losses[0]
    assert torch.equal(predicted, head.scores(hidden).argmax(-1))


def test_a_target_that_is_drawn_is_not_counted_against_itself() -> None:
    """Of two tokens the other is all that competes, whatever is drawn."""
    torch.manual_seed(0)
    head = SampledHead(
        HIDDEN, 2, samples=64, proposal="unigram", counts=np.array([10**9, 0]), embedding=None
    )
    hidden = torch.randn(1, HIDDEN)
    # The other is next to never drawn: nothing is left in the sum but the target's own term.
    assert head.loss(hidden, torch.tensor([0])).item() == 0


def test_operations_are_those_of_training() -> None:
    assert made(10).flops() == 2 * HIDDEN * 11
    assert made(10, tied=4).flops() == 2 * (HIDDEN * 4 + 4 * 11)
