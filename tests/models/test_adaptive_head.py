import numpy as np
import pytest
import torch
from torch import Tensor, nn

from unrolled.data.batches import IGNORE
from unrolled.models.adaptive_embedding import AdaptiveEmbedding
from unrolled.models.adaptive_head import AdaptiveHead
from unrolled.models.clusters import Clusters, make_clusters
from unrolled.tasks.token_metrics import TokenMetrics

HIDDEN, TOKENS, CUTOFFS = 16, 40, [9, 21]
COUNTS = np.random.default_rng(0).integers(0, 30, TOKENS)
CLUSTERS = make_clusters(TOKENS, COUNTS, CUTOFFS, 2.0)
HEADS = ["own", "tied", "tied_narrower"]


def made(kind: str, clusters: Clusters = CLUSTERS) -> AdaptiveHead:
    torch.manual_seed(3)
    size = {"own": None, "tied": HIDDEN, "tied_narrower": 10}[kind]
    embedding = None if size is None else AdaptiveEmbedding(clusters, size)
    head = AdaptiveHead(HIDDEN, clusters, embedding)
    for parameter in head.parameters():
        # Weights at which clusters and tokens differ much in their probabilities.
        nn.init.normal_(parameter)
    return head


def batch(rows: int = 60, ignored: float = 0.2) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    hidden = torch.randn(rows // 4, 4, HIDDEN, generator=generator)
    targets = torch.randint(0, TOKENS, (rows // 4, 4), generator=generator)
    targets[torch.rand(targets.shape, generator=generator) < ignored] = IGNORE
    return hidden, targets


@pytest.mark.parametrize("kind", HEADS)
def test_it_is_a_distribution_over_the_whole_vocabulary(kind: str) -> None:
    logs = made(kind).double().log_probabilities(batch()[0].double())
    assert logs.shape == (15, 4, TOKENS)
    torch.testing.assert_close(logs.exp().sum(-1), torch.ones(15, 4).double(), rtol=1e-12, atol=0)


@pytest.mark.parametrize("kind", HEADS)
def test_the_loss_is_that_of_the_targets_log_probabilities(kind: str) -> None:
    head = made(kind).double()
    hidden, targets = batch(100)
    hidden = hidden.double()
    logs = head.log_probabilities(hidden)
    kept = targets != IGNORE
    expected = -logs[kept].gather(-1, targets[kept][:, None]).sum()
    torch.testing.assert_close(head.loss(hidden, targets), expected, rtol=1e-12, atol=0)
    loss, predicted = head.loss_and_predictions(hidden, targets)
    assert torch.equal(loss, head.loss(hidden, targets))
    assert torch.equal(predicted, logs.argmax(-1))
    scores = head.scores(hidden)
    torch.testing.assert_close(head.loss_of_scores(scores, targets), expected, rtol=1e-12, atol=0)
    # Scores are logits of themselves, so that whoever draws from them need not know the head.
    torch.testing.assert_close(scores.softmax(-1), logs.exp(), rtol=1e-12, atol=0)


def test_it_is_the_adaptive_softmax_of_pytorch() -> None:
    head = made("own").double()
    peer = nn.AdaptiveLogSoftmaxWithLoss(HIDDEN, TOKENS, CUTOFFS, 2.0, head_bias=True).double()
    state = head.state_dict()
    theirs = {
        "head.weight": torch.cat([state["outputs.0.weight"], state["gates.weight"]]),
        "head.bias": torch.cat([state["outputs.0.bias"], state["gates.bias"]]),
    }
    for place in (1, 2):
        theirs[f"tail.{place - 1}.0.weight"] = state[f"projections.{place}.weight"]
        theirs[f"tail.{place - 1}.1.weight"] = state[f"outputs.{place}.weight"]
        # PyTorch's further clusters have no biases.
        nn.init.zeros_(head.get_parameter(f"outputs.{place}.bias"))
    peer.load_state_dict(theirs)
    hidden, targets = batch(ignored=0)
    hidden = hidden.double().requires_grad_()
    ranks = torch.from_numpy(CLUSTERS.ranks)[targets.flatten()]
    own = head.loss(hidden, targets)
    expected = peer(hidden.flatten(0, 1), ranks)
    torch.testing.assert_close(own / targets.numel(), expected.loss, rtol=1e-12, atol=0)
    ours, his = (torch.autograd.grad(loss, hidden)[0] for loss in (own, 60 * expected.loss))
    torch.testing.assert_close(ours, his, rtol=1e-10, atol=1e-12)
    logs = head.log_probabilities(hidden.flatten(0, 1))[:, torch.from_numpy(CLUSTERS.order)]
    torch.testing.assert_close(logs, peer.log_prob(hidden.flatten(0, 1)), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", HEADS)
def test_its_gradients_are_those_of_finite_differences(kind: str) -> None:
    head = made(kind).double()
    hidden, targets = batch(12)
    names = [name for name, _ in head.named_parameters()]
    values = [parameter.detach().requires_grad_() for parameter in head.parameters()]

    def loss(hidden: Tensor, *parameters: Tensor) -> Tensor:
        given = dict(zip(names, parameters, strict=True))
        result: Tensor = torch.func.functional_call(Losing(head), given, (hidden, targets))
        return result

    names = [f"head.{name}" for name in names]
    start = hidden.double().requires_grad_()
    assert torch.autograd.gradcheck(loss, (start, *values), fast_mode=True)


class Losing(nn.Module):
    """Calls a head's loss."""

    def __init__(self, head: AdaptiveHead) -> None:
        super().__init__()
        self.head = head

    def forward(self, hidden: Tensor, targets: Tensor) -> Tensor:
        loss: Tensor = self.head.loss(hidden, targets)
        return loss


def test_clusters_without_a_target_have_a_gradient_of_zero() -> None:
    head = made("own")
    frequent = torch.from_numpy(CLUSTERS.order[:4])
    head.loss(torch.randn(4, HIDDEN), frequent).backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None
        assert bool(parameter.grad.any()) == (".1." not in name and ".2." not in name)


def test_nothing_but_ignored_targets_costs_nothing() -> None:
    loss = made("own").loss(torch.randn(4, HIDDEN), torch.full((4,), IGNORE))
    assert loss.item() == 0


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize("cutoffs", [[9, 21], [2, 3], [39]])
def test_the_best_tokens_and_the_losses_are_those_of_all_scores(
    kind: str, cutoffs: list[int]
) -> None:
    head = made(kind, make_clusters(TOKENS, COUNTS, cutoffs, 2.0)).double()
    hidden = batch(400)[0].flatten(0, 1).double()
    targets = batch(400, ignored=0)[1].flatten()
    logs = head.log_probabilities(hidden)
    losses, places = head.ranked(hidden, targets, 5)
    assert torch.equal(places, logs.topk(5).indices)
    torch.testing.assert_close(losses, -logs.gather(1, targets[:, None])[:, 0])
    # Tokens of every cluster are among them, or this would test little.
    found = torch.bucketize(head.ranks[places], head.cutoffs, right=True)
    assert len(found.unique()) == len(cutoffs) + 1


def test_it_is_measured_as_a_head_with_the_same_dense_scores() -> None:
    """Through the metrics of a split: the same figures from few scores as from all."""
    head = made("own").double()
    hidden, targets = batch(400)
    sparse, dense = TokenMetrics(TOKENS), TokenMetrics(TOKENS)
    sparse.update(head, hidden.double(), targets)

    class Dense(nn.Module):
        scores = staticmethod(head.log_probabilities)

    dense.update(Dense(), hidden.double(), targets)  # type: ignore[arg-type]
    first, second = sparse.compute(), dense.compute()
    assert first.pop("loss") == pytest.approx(second.pop("loss"), rel=1e-6)
    assert first == pytest.approx(second, rel=1e-6)
    assert 0 < first["accuracy"] < first["accuracy_top5"] < 1


def test_few_tokens_are_scored_where_the_frequent_ones_are_probable() -> None:
    head = made("own")
    nn.init.constant_(head.gates.bias, -50.0)
    scored: list[int] = []
    for place in (1, 2):
        head.outputs[place].register_forward_hook(
            lambda _, inputs, __: scored.append(len(*inputs))
        )
    hidden = torch.randn(30, HIDDEN)
    head.ranked(hidden, torch.from_numpy(CLUSTERS.order[:30]), 5)
    # The targets of each cluster, and nothing besides.
    assert scored == [12, 9]


@pytest.mark.parametrize("kind", HEADS)
def test_operations_are_counted_by_how_often_clusters_are_due(kind: str) -> None:
    head = made(kind)
    first = {"own": 16, "tied": 16, "tied_narrower": 10}[kind]
    expected = float(first * (9 + 2) + (HIDDEN * first if first != HIDDEN else 0))
    for share, size, divided in zip(CLUSTERS.shares, (12, 19), (2, 4), strict=True):
        width = first // divided
        expected += share * width * (HIDDEN + size)
    assert head.flops() == pytest.approx(2 * expected, abs=1)


def test_half_precision_comes_close() -> None:
    head = made("own")
    hidden, targets = batch()
    exact = head.loss(hidden, targets)
    expected = torch.autograd.grad(exact, [*head.parameters()])
    with torch.autocast("cpu", torch.bfloat16):
        rounded = head.loss(hidden, targets)
        logs = head.log_probabilities(hidden)
    assert rounded.dtype == logs.dtype == torch.float32
    assert rounded.item() != exact.item()
    assert rounded.item() == pytest.approx(exact.item(), rel=0.02)
    for parameter, gradient, wanted in zip(
        head.parameters(),
        torch.autograd.grad(rounded, [*head.parameters()]),
        expected,
        strict=True,
    ):
        assert gradient.dtype == parameter.dtype
        assert (gradient - wanted).norm() < 0.02 * wanted.norm()


def test_an_embedding_gives_each_token_the_vector_of_its_cluster() -> None:
    embedding = AdaptiveEmbedding(CLUSTERS, 8)
    ids = torch.arange(TOKENS).reshape(8, 5)
    vectors = embedding(ids)
    assert vectors.shape == (8, 5, 8)
    for token, vector in zip(ids.flatten().tolist(), vectors.flatten(0, 1), strict=True):
        rank = int(CLUSTERS.ranks[token])
        place = next(i for i, (low, high) in enumerate(CLUSTERS.bounds) if low <= rank < high)
        table, low = embedding.tables[place], CLUSTERS.bounds[place][0]
        assert isinstance(table, nn.Embedding)
        expected = table.weight[rank - low]
        if place:
            expected = embedding.projections[place - 1](expected)
        torch.testing.assert_close(vector, expected)
    vectors.sum().backward()
    assert all(parameter.grad is not None for parameter in embedding.parameters())


def test_tied_tables_are_one_matrix_each() -> None:
    embedding = AdaptiveEmbedding(CLUSTERS, 10)
    head = AdaptiveHead(HIDDEN, CLUSTERS, embedding)
    for output, table in zip(head.outputs, embedding.tables, strict=True):
        assert output.weight is table.weight
    both = nn.ModuleList([embedding, head])
    apart = [*embedding.parameters(), *AdaptiveHead(HIDDEN, CLUSTERS).parameters()]
    assert sum(p.numel() for p in both.parameters()) < sum(p.numel() for p in apart)
