"""Adaptive softmax: the frequent tokens scored for every target, the rare ones when they are due.

Grave, Joulin, Cissé, Grangier & Jégou, "Efficient softmax approximation for GPUs", ICML 2017
(arXiv 1609.04309). The probability of a frequent token is a softmax's over the first cluster and
one output for each other cluster; that of a rare token is its cluster's probability times its
own within it. This is a distribution over the whole vocabulary, and nothing approximates it.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.cells.autocast import half_type_on_cpu
from unrolled.data.batches import IGNORE
from unrolled.models.adaptive_embedding import AdaptiveEmbedding
from unrolled.models.clusters import Clusters
from unrolled.models.heads import Distribution, at_least_fp32
from unrolled.models.linear_cross_entropy import linear_cross_entropy

# Rows whose scores in a further cluster are made at a time, where there is no gradient.
ROWS = 32


class AdaptiveHead(Distribution):
    """An adaptive softmax over tokens; its loss is the exact negative log-likelihood.

    With the same matrices it is ``torch.nn.AdaptiveLogSoftmaxWithLoss``. It has biases besides,
    takes ids in any order, ignored targets and half precision, and shares an embedding.

    Args:
        hidden_size: the width of the recurrence's output.
        clusters: which tokens are in which.
        embedding: whose tables are the output matrices (Baevski & Auli 2019, "tied"); None: they
            are the head's own. A tied head has a matrix without bias from the hidden size to each
            table's width; to the first only where the two differ.

    Attributes:
        order, ranks: buffers: the tokens by frequency, and each token's place among them. They are
            stored with the weights.
    """

    order: Tensor
    ranks: Tensor
    cutoffs: Tensor

    def __init__(
        self, hidden_size: int, clusters: Clusters, embedding: AdaptiveEmbedding | None = None
    ) -> None:
        super().__init__()
        self.clusters = clusters
        self.register_buffer("order", torch.from_numpy(clusters.order))
        self.register_buffer("ranks", torch.from_numpy(clusters.ranks))
        self.register_buffer("cutoffs", torch.tensor(clusters.cutoffs), persistent=False)
        first = hidden_size if embedding is None else embedding.output_size
        widths = clusters.widths(first)
        self.projections = nn.ModuleList(
            nn.Identity() if not place and width == hidden_size else _matrix(hidden_size, width)
            for place, width in enumerate(widths)
        )
        self.outputs = nn.ModuleList(map(nn.Linear, widths, clusters.sizes))
        self.gates = nn.Linear(first, len(clusters.cutoffs))
        if embedding is not None:
            for output, table in zip(self.outputs, embedding.tables, strict=True):
                cast(nn.Linear, output).weight = cast(nn.Embedding, table).weight

    @property
    def classes(self) -> int:
        """How many tokens there are."""
        return len(self.clusters.order)

    def describe(self) -> dict[str, Any]:
        return {"cutoffs": [*self.clusters.cutoffs]}

    def loss(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """The negative log-likelihood of all targets together, in nats.

        Only the first cluster and those of the targets are scored.

        Args:
            hidden: ``[..., hidden_size]``.
            targets: token ids ``[...]``, ``IGNORE`` where there is none.
        """
        x, targets = hidden.reshape(-1, hidden.shape[-1]), targets.flatten()
        kept = targets != IGNORE
        if not bool(kept.all()):
            x, targets = x[kept], targets[kept]
        ranks = self.ranks[targets]
        cluster = torch.bucketize(ranks, self.cutoffs, right=True)
        total = self._first_loss(x, self._gated(ranks, cluster))
        for place, (low, _) in enumerate(self.clusters.bounds[1:], 1):
            # A cluster without a target takes part, so that its gradient is zero and not None.
            rows = (cluster == place).nonzero()[:, 0]
            mine = x.index_select(0, rows)
            total = total + self._further_loss(place, mine, ranks[rows] - low)
        return total

    def loss_and_predictions(self, hidden: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        loss = self.loss(hidden, targets)
        x, wanted = hidden.detach().flatten(0, -2), targets.flatten()
        # A row without a target asks for a frequent token's loss, which nobody reads.
        wanted = wanted.where(wanted != IGNORE, self.order[0])
        with torch.no_grad():
            _, best = self.ranked(x, wanted, 1)
        return loss, best.reshape(targets.shape)

    def loss_of_scores(self, scores: Tensor, targets: Tensor) -> Tensor:
        return F.nll_loss(
            scores.flatten(0, -2), targets.flatten(), ignore_index=IGNORE, reduction="sum"
        )

    def scores(self, hidden: Tensor) -> Tensor:
        """The log-probabilities, which are logits of themselves."""
        return self.log_probabilities(hidden)

    def log_probabilities(self, hidden: Tensor) -> Tensor:
        """Logarithms of the tokens' probabilities ``[..., tokens]`` by their ids, in fp32."""
        x = hidden.reshape(-1, hidden.shape[-1])
        first = self._first(x).log_softmax(-1)
        size = self.clusters.cutoffs[0]
        parts = [first[:, :size]]
        for place in range(1, len(self.outputs)):
            within = self._within(place, x).log_softmax(-1)
            parts.append(within + first[:, size + place - 1, None])
        by_id = torch.cat(parts, -1).index_select(-1, self.ranks)
        return by_id.unflatten(0, hidden.shape[:-1]) if hidden.dim() != 2 else by_id

    def ranked(self, hidden: Tensor, targets: Tensor, best: int) -> tuple[Tensor, Tensor]:
        """The loss of each target, and the most probable tokens, both exact.

        No token of a cluster is more probable than the cluster. So a cluster is scored for its
        targets, and where it is more probable than the last of the best tokens found so far.

        Args:
            hidden: ``[rows, hidden_size]``.
            targets: token ids ``[rows]``, none of them ``IGNORE``.
            best: how many of the most probable tokens.

        Returns:
            Losses ``[rows]`` in nats, and token ids ``[rows, best]``, the most probable first.
        """
        ranks = self.ranks[targets]
        cluster = torch.bucketize(ranks, self.cutoffs, right=True)
        first = self._first(hidden).log_softmax(-1)
        losses = -first.gather(1, self._gated(ranks, cluster)[:, None])[:, 0]
        size = self.clusters.cutoffs[0]
        values, places = first[:, :size].topk(min(best, size))
        if size < best:
            values = F.pad(values, (0, best - size), value=-torch.inf)
            places = F.pad(places, (0, best - size))
        for place, (low, high) in enumerate(self.clusters.bounds[1:], 1):
            of_cluster = first[:, size + place - 1]
            wanted = cluster == place
            due = (wanted | (of_cluster > values[:, -1])).nonzero()[:, 0]
            for rows in due.split(ROWS):
                within = self._within(place, hidden.index_select(0, rows)).log_softmax(-1)
                mine = wanted[rows]
                targeted = (ranks[rows] - low)[mine]
                losses[rows[mine]] -= within[mine].gather(1, targeted[:, None])[:, 0]
                found = within.topk(min(best, high - low))
                both = torch.cat([values[rows], found.values + of_cluster[rows, None]], 1)
                kept = both.topk(best)
                candidates = torch.cat([places[rows], found.indices + low], 1)
                values[rows] = kept.values
                places[rows] = candidates.gather(1, kept.indices)
        return losses, self.order[places]

    def flops(self) -> int:
        """Floating-point operations of one target's loss, two for each multiplication; a cluster's
        by the share of the training split's targets that are in it."""
        shares = (1.0, *self.clusters.shares)
        total = 2.0 * self.gates.in_features * self.gates.out_features
        for share, projection, output in zip(shares, self.projections, self.outputs, strict=True):
            layers = (layer for layer in (projection, output) if isinstance(layer, nn.Linear))
            total += share * sum(2 * layer.in_features * layer.out_features for layer in layers)
        return round(total)

    def _first_loss(self, x: Tensor, targets: Tensor) -> Tensor:
        """The loss of the first cluster's tokens and of the other clusters, all targets together,
        in nats and fp32."""
        half = half_type_on_cpu(x.device)
        if half is None:
            return F.cross_entropy(self._first(x), targets, reduction="sum")
        weight, bias = self._first_layer()
        return linear_cross_entropy(self.projections[0](x), weight, bias, targets, half)

    def _first(self, x: Tensor) -> Tensor:
        """Scores of the first cluster's tokens and of the other clusters, one product for all."""
        return at_least_fp32(F.linear(self.projections[0](x), *self._first_layer()))

    def _first_layer(self) -> tuple[Tensor, Tensor]:
        words = cast(nn.Linear, self.outputs[0])
        weight = torch.cat([words.weight, self.gates.weight])
        return weight, torch.cat([words.bias, self.gates.bias])

    def _further_loss(self, place: int, x: Tensor, targets: Tensor) -> Tensor:
        """The loss within a further cluster, whose targets are all of these, together."""
        if half_type_on_cpu(x.device) is None:
            return F.cross_entropy(self._within(place, x), targets, reduction="sum")
        output = cast(nn.Linear, self.outputs[place])
        with torch.autocast("cpu", enabled=False):
            inputs = self.projections[place](at_least_fp32(x))
            # Not for its products, which stay in fp32, but since it keeps few scores at a time.
            return linear_cross_entropy(inputs, output.weight, output.bias, targets, torch.float32)

    def _within(self, place: int, x: Tensor) -> Tensor:
        """Scores of a further cluster's tokens."""
        if x.device.type != "cpu":
            return at_least_fp32(self.outputs[place](self.projections[place](x)))
        # A CPU's products in half precision are made for one number of rows each, kept, and slow
        # to make; these have another number at each step, and little to multiply.
        with torch.autocast("cpu", enabled=False):
            scores: Tensor = self.outputs[place](self.projections[place](at_least_fp32(x)))
        return scores

    def _gated(self, ranks: Tensor, cluster: Tensor) -> Tensor:
        """Where the first product scores a target: itself, or its cluster."""
        return torch.where(cluster == 0, ranks, self.clusters.cutoffs[0] + cluster - 1)


def _matrix(inputs: int, outputs: int) -> nn.Linear:
    return nn.Linear(inputs, outputs, bias=False)
