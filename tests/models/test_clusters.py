import numpy as np
import pytest

from unrolled.errors import ConfigError
from unrolled.models.clusters import FREQUENT, choose_cutoffs, make_clusters


def zipf(tokens: int, seed: int = 0) -> np.ndarray:
    """Counts of tokens whose ids are in no order."""
    counts = (1e7 / np.arange(1, tokens + 1)).astype(np.int64)
    return np.random.default_rng(seed).permutation(counts)


def test_tokens_are_in_the_order_of_their_counts_and_of_their_ids_where_those_are_equal() -> None:
    clusters = make_clusters(5, np.array([3, 9, 3, 0, 9]), [2, 4], 4.0)
    assert clusters.order.tolist() == [1, 4, 0, 2, 3]
    assert clusters.ranks[clusters.order].tolist() == [0, 1, 2, 3, 4]
    assert clusters.bounds == [(0, 2), (2, 4), (4, 5)]
    assert clusters.sizes == [2, 2, 1]
    assert clusters.shares == (6 / 24, 0.0)


def test_each_cluster_is_narrower_by_the_same_factor_and_none_is_empty() -> None:
    clusters = make_clusters(9, None, [2, 4, 6], 4.0)
    assert clusters.widths(200) == [200, 50, 12, 3]
    assert clusters.widths(2) == [2, 1, 1, 1]


@pytest.mark.parametrize("tokens", [10_000, 33_000, 100_000])
def test_chosen_cutoffs_leave_frequent_tokens_whole_and_cost_a_fraction(tokens: int) -> None:
    counts = zipf(tokens)
    cutoffs = choose_cutoffs(counts, 4.0)
    ordered = -np.sort(-counts)
    assert ordered[: cutoffs[0]].sum() >= FREQUENT * counts.sum() > ordered[: cutoffs[0] - 1].sum()
    assert 1 <= len(cutoffs) <= 3
    clusters = make_clusters(tokens, counts, cutoffs, 4.0)
    expected = zip(clusters.shares, clusters.sizes[1:], (4, 16, 64), strict=False)
    scored = cutoffs[0] + sum(share * size / narrower for share, size, narrower in expected)
    assert scored < 0.2 * tokens


def test_more_clusters_than_pay_are_not_chosen() -> None:
    assert len(choose_cutoffs(zipf(1000), 4.0)) == 1


def test_what_is_chosen_depends_on_counts_and_on_no_order_of_the_ids() -> None:
    assert choose_cutoffs(zipf(20_000, seed=1), 4.0) == choose_cutoffs(zipf(20_000, seed=2), 4.0)
    even = np.full(500, 50)
    with pytest.raises(ConfigError, match="take head=linear"):
        choose_cutoffs(even, 1.0)


@pytest.mark.parametrize("tokens", [1, 2, 65])
def test_a_vocabulary_too_small_for_clusters_is_refused_with_what_to_take(tokens: int) -> None:
    with pytest.raises(ConfigError, match=rf"vocabulary of {tokens} tokens is too small.*linear"):
        make_clusters(tokens, zipf(tokens), None, 4.0)


@pytest.mark.parametrize(
    ("cutoffs", "message"),
    [
        ([], r"head\.cutoffs=\[\]: at least one"),
        ([5, 3], r"head\.cutoffs=\[5,3\]: each must be above 0 and above the one before"),
        ([3, 3], "above the one before"),
        ([0, 3], "must be above 0"),
        ([3, 10], r"the vocabulary has 10 tokens.*give cut-offs below 10"),
    ],
)
def test_cutoffs_that_cut_no_vocabulary_are_refused(cutoffs: list[int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_clusters(10, None, cutoffs, 4.0)


def test_without_counts_cutoffs_cannot_be_chosen() -> None:
    with pytest.raises(ConfigError, match=r"head\.cutoffs=null.*give them"):
        make_clusters(10, None, None, 4.0)
