"""An embedding whose rare tokens have narrower vectors."""

from typing import cast

import torch
from torch import Tensor, nn

from unrolled.models.clusters import Clusters


class AdaptiveEmbedding(nn.Module):
    """Ids ``[time, batch]`` to vectors ``[time, batch, size]`` (Baevski & Auli 2019).

    Each cluster has a table of its own, ``clusters.widths(size)`` wide, and a matrix without bias
    from that width to ``size``; the first is as wide as that and has none.
    """

    ranks: Tensor

    def __init__(self, clusters: Clusters, size: int) -> None:
        super().__init__()
        self.clusters = clusters
        self.num_embeddings = len(clusters.order)
        self.output_size = size
        self.register_buffer("ranks", torch.from_numpy(clusters.ranks))
        widths = clusters.widths(size)
        self.tables = nn.ModuleList(map(nn.Embedding, clusters.sizes, widths))
        self.projections = nn.ModuleList(nn.Linear(w, size, bias=False) for w in widths[1:])
        for table in self.tables:
            # As in a tied linear head: scores of unit variance, not of the size of √width.
            weight = cast(nn.Embedding, table).weight
            nn.init.normal_(weight, std=weight.shape[1] ** -0.5)
        for projection in self.projections:
            nn.init.xavier_uniform_(cast(nn.Linear, projection).weight)

    def forward(self, ids: Tensor) -> Tensor:
        ranks = self.ranks[ids.flatten()]
        rows, vectors = [], []
        for place, (low, high) in enumerate(self.clusters.bounds):
            members = ((ranks >= low) & (ranks < high)).nonzero()[:, 0]
            found = self.tables[place](ranks[members] - low)
            rows.append(members)
            vectors.append(self.projections[place - 1](found) if place else found)
        joined = torch.cat(vectors)
        # Each vector goes back to its token's place.
        result = torch.empty_like(joined).index_copy(0, torch.cat(rows), joined)
        return result.reshape(*ids.shape, self.output_size)

    def flops(self) -> int:
        """Floating-point operations for one token, two for each multiplication: the matrices, by
        how often their clusters occur; looking up is none."""
        widths = self.clusters.widths(self.output_size)[1:]
        expected = zip(self.clusters.shares, widths, strict=True)
        return round(sum(2 * share * width * self.output_size for share, width in expected))
