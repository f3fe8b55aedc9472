"""A vocabulary cut into clusters by frequency, for adaptive softmax and adaptive embeddings."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, pairwise

import numpy as np
import numpy.typing as npt

from unrolled.config.checks import require_cutoffs
from unrolled.errors import ConfigError

Ids = npt.NDArray[np.int64]

# At most so many clusters behind the first: more gain next to nothing (Grave et al. 2017, fig. 4).
MOST = 3
# Of the targets, what the first cluster has: with fewer, perplexity suffers.
FREQUENT = 0.8
# So many cut-offs are tried to each doubling of the rank.
STEPS = 3
# What gathering a cluster's targets and calling its products costs, in outputs for each token.
OVERHEAD = 128


@dataclass(frozen=True, eq=False)
class Clusters:
    """Tokens in the order of their frequency, cut into clusters.

    The first cluster is scored for every target. Each other is scored for its own targets alone,
    from a narrower vector.

    Attributes:
        order: token ids, the most frequent first, ``[tokens]``.
        cutoffs: the ranks at which the second cluster and each further one begin.
        div_value: each cluster is so many times narrower than the one before it.
        shares: of the training split's targets that are in each cluster but the first; 1 each
            where their counts are not known.
    """

    order: Ids
    cutoffs: tuple[int, ...]
    div_value: float
    shares: tuple[float, ...]

    @property
    def bounds(self) -> list[tuple[int, int]]:
        """The first rank of each cluster, and the one after its last."""
        edges = (0, *self.cutoffs, len(self.order))
        return [*pairwise(edges)]

    @property
    def sizes(self) -> list[int]:
        """Tokens of each cluster."""
        return [high - low for low, high in self.bounds]

    @cached_property
    def ranks(self) -> Ids:
        """The rank of each token id, ``[tokens]``."""
        ranks = np.empty_like(self.order)
        ranks[self.order] = np.arange(len(self.order))
        return ranks

    def widths(self, first: int) -> list[int]:
        """The width of each cluster where the first has ``first``."""
        return [max(1, int(first // self.div_value**i)) for i in range(len(self.bounds))]


def make_clusters(
    tokens: int, counts: Ids | None, cutoffs: Sequence[int] | None, div_value: float
) -> Clusters:
    """The clusters of a vocabulary.

    Args:
        tokens: its size.
        counts: how often each token is a target of the training split, ``[tokens]``; None: not
            known, for a model whose order of tokens is in its weights.
        cutoffs: see ``Clusters``; None: those that cost least, see ``choose_cutoffs``.

    Raises:
        ConfigError: cut-offs out of order or outside the vocabulary, or a vocabulary too small for
            any.
    """
    if cutoffs is None:
        if counts is None:
            raise ConfigError(
                "head.cutoffs=null: they are chosen by how often each token occurs, which is not "
                "known here; give them"
            )
        cutoffs = choose_cutoffs(counts, div_value)
    require_cutoffs(cutoffs)
    if cutoffs[-1] >= tokens:
        raise ConfigError(
            f"head.cutoffs=[{','.join(map(str, cutoffs))}]: the vocabulary has {tokens:,} tokens, "
            f"and the last cluster would be empty; give cut-offs below {tokens:,}, or take "
            "head=linear"
        )
    if counts is None:
        order = np.arange(tokens)
        return Clusters(order, tuple(cutoffs), div_value, (1.0,) * len(cutoffs))
    # Stable, so that tokens of one count are in the same order on every machine.
    order = np.argsort(-counts, kind="stable")
    edges = [*cutoffs, tokens]
    total = max(1, int(counts.sum()))
    shares = (float(counts[order[low:high]].sum()) / total for low, high in pairwise(edges))
    return Clusters(order, tuple(cutoffs), div_value, tuple(shares))


def choose_cutoffs(counts: Ids, div_value: float) -> list[int]:
    """Cut-offs by the frequencies of tokens.

    The first cluster is the smallest that has ``FREQUENT`` of the targets, which are then scored
    at the full width. The others are those that cost least (Grave et al. 2017, section 3), counted
    in outputs of the full width for each target: one and ``OVERHEAD`` for each cluster, and the
    outputs of the cluster by the share of the targets that are in it and by how much narrower it
    is. None of this depends on the hidden size, so that a budget can be solved for.

    Raises:
        ConfigError: the vocabulary is too small for clusters to cost less than one matrix.
    """
    tokens = len(counts)
    covered = np.cumsum(-np.sort(-counts)) / max(1, int(counts.sum()))
    first = 1 + int(np.searchsorted(covered, FREQUENT))
    doublings = np.log2(tokens / first) if first < tokens else 0.0
    ranks = first * 2 ** (np.arange(1, int(np.ceil(STEPS * doublings))) / STEPS)
    further = np.unique(ranks.astype(np.int64))
    further = further[(further > first) & (further < tokens)]
    best, least = None, float(tokens)
    for clusters in range(1, MOST + 1):
        chosen = [(first, *some, tokens) for some in combinations(further, clusters - 1)]
        if first >= tokens or not chosen:
            break
        edges = np.array(chosen)
        shares = np.diff(covered[edges - 1], axis=1)
        narrower = div_value ** np.arange(1, clusters + 1)
        outputs = (shares * np.diff(edges, axis=1) / narrower).sum(1)
        cost = first + clusters * (1 + OVERHEAD) + outputs
        place = int(cost.argmin())
        if cost[place] < least:
            best, least = edges[place, :-1], float(cost[place])
    if best is None:
        raise ConfigError(
            f"head=adaptive: a vocabulary of {tokens:,} tokens is too small for clusters to cost "
            "less than one matrix; take head=linear, or give head.cutoffs"
        )
    return [int(rank) for rank in best]
