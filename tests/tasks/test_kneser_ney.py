from collections import Counter, defaultdict
from itertools import product

import numpy as np
import pytest

from unrolled.tasks.kneser_ney import NOTHING, Ids, KneserNey, running_contexts


def text(length: int = 400, vocabulary: int = 5, seed: int = 0) -> Ids:
    """Tokens that depend on the two before them."""
    draw = np.random.default_rng(seed)
    likely = draw.dirichlet(np.full(vocabulary, 0.3), (vocabulary, vocabulary))
    ids = [0, 0]
    while len(ids) < length:
        ids.append(int(draw.choice(vocabulary, p=likely[ids[-2], ids[-1]])))
    return np.array(ids)


def model_of(ids: Ids, order: int, vocabulary: int, start: int = 0) -> KneserNey:
    return KneserNey(running_contexts(ids, start, order), ids, vocabulary)


class Plain:
    """The same model from dictionaries, as its papers put it."""

    def __init__(self, events: list[tuple[int, ...]], vocabulary: int) -> None:
        """Each event is a context of at most ``order - 1`` tokens and the token after it."""
        self.vocabulary = vocabulary
        self.counts: dict[int, Counter[tuple[int, ...]]] = defaultdict(Counter)
        for event in events:
            self.counts[len(event)][event] += 1
        order = max(self.counts)
        for n in range(order - 1, 0, -1):
            preceded = {gram for event in events for gram in [event[-n - 1 :]] if len(gram) > n}
            for gram in preceded:
                self.counts[n][gram[1:]] += 1

    def discounts(self, n: int) -> tuple[float, float, float]:
        seen = Counter(self.counts[n].values())
        if not (seen[1] and seen[2] and seen[3]):
            return 0.5, 1.0, 1.5
        y = seen[1] / (seen[1] + 2 * seen[2])
        d1, d2, d3 = (k - (k + 1) * y * seen[k + 1] / seen[k] for k in (1, 2, 3))
        return (d1, d2, d3) if d1 > 0 and d2 > 0 and d3 > 0 else (0.5, 1.0, 1.5)

    def probability(self, context: tuple[int, ...], token: int) -> float:
        lower = self.probability(context[1:], token) if context else 1 / self.vocabulary
        n = len(context) + 1
        after = {gram: c for gram, c in self.counts[n].items() if gram[:-1] == context}
        if not after:
            return lower
        discounts = (0.0, *self.discounts(n))
        total = sum(after.values())
        own = after.get((*context, token), 0)
        left = sum(discounts[min(c, 3)] for c in after.values())
        return (own - discounts[min(own, 3)]) / total + left / total * lower


def events_of(contexts: Ids, targets: Ids) -> list[tuple[int, ...]]:
    return [
        (*(int(i) for i in context if i != NOTHING), int(target))
        for context, target in zip(contexts, targets, strict=True)
    ]


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_it_is_what_counting_in_dictionaries_gives(order: int) -> None:
    ids, other = text(), text(150, seed=1)
    plain = Plain(events_of(running_contexts(ids, 0, order), ids), 5)
    if order > 1:
        assert plain.discounts(order) != (0.5, 1.0, 1.5)
    contexts = running_contexts(other, 0, order)
    expected = [plain.probability(event[:-1], event[-1]) for event in events_of(contexts, other)]
    found = model_of(ids, order, 5).probabilities(contexts, other)
    assert found == pytest.approx(expected, rel=1e-12)


def test_contexts_may_be_of_unequal_lengths() -> None:
    ids = text()
    contexts = running_contexts(ids, 0, 4).copy()
    # As in lines: some tokens see no further back than the start of theirs.
    for row in range(len(ids)):
        contexts[row, : 3 - min(3, 1 + row % 7)] = NOTHING
    plain = Plain(events_of(contexts, ids), 5)
    expected = [plain.probability(event[:-1], event[-1]) for event in events_of(contexts, ids)]
    found = KneserNey(contexts, ids, 5).probabilities(contexts, ids)
    assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_the_probabilities_after_any_context_sum_to_one(order: int) -> None:
    # The last of the five tokens is not in the text.
    model = model_of(text(vocabulary=4), order, 5)
    for context in product([NOTHING, *range(5)], repeat=order - 1):
        after = model.probabilities(np.tile(np.array(context, int), (5, 1)), np.arange(5))
        assert after.sum() == pytest.approx(1, abs=1e-12)
        assert after.min() > 0


def test_by_hand() -> None:
    # 1 | 0 1 0: the bigrams 1 0 twice and 0 1 once, too few to estimate discounts.
    model = model_of(np.array([0, 1, 0]), 2, 2, start=1)
    found = model.probabilities(np.array([[1], [1], [0], [0]]), np.array([0, 1, 0, 1]))
    # Each token follows one other token, so the unigrams are equal.
    assert found == pytest.approx([1 / 2 + 1 / 2 * 0.5, 1 / 2 * 0.5, 1 / 2 * 0.5, 1 / 2 + 0.25])


def test_an_unseen_context_falls_back_on_a_shorter_one() -> None:
    ids = np.array([0, 1, 2, 0, 1, 2, 3])
    model = model_of(ids, 3, 5, start=4)
    unseen = model.probabilities(np.array([[3, 1]] * 5), np.arange(5))
    assert unseen == pytest.approx(model.probabilities(np.array([[NOTHING, 1]] * 5), np.arange(5)))
    nothing = model.probabilities(np.array([[3, 3]] * 5), np.arange(5))
    assert nothing == pytest.approx(model.probabilities(np.zeros((5, 0), int), np.arange(5)))


def test_an_order_longer_than_the_text_counts_what_there_is() -> None:
    ids = np.array([0, 1, 0])
    found = model_of(ids, 9, 2).probabilities(running_contexts(ids, 0, 9), ids)
    assert found == pytest.approx(
        model_of(ids, 4, 2).probabilities(running_contexts(ids, 0, 4), ids)
    )
    assert found.min() > 0.5


@pytest.mark.parametrize("order", [1, 3])
def test_a_vocabulary_of_one_leaves_no_choice(order: int) -> None:
    ids = np.zeros(6, np.uint8)
    contexts = running_contexts(ids, 0, order)
    assert model_of(ids, order, 1).probabilities(contexts, ids) == pytest.approx(1)


def test_running_contexts_reach_back_over_all_that_precedes() -> None:
    ids = np.array([3, 4, 5], np.uint8)
    assert running_contexts(ids, 9, 3).tolist() == [[NOTHING, 9], [9, 3], [3, 4]]
    assert running_contexts(ids, 9, 2).tolist() == [[9], [3], [4]]
    assert running_contexts(ids, 9, 1).shape == (3, 0)


def test_a_vocabulary_that_is_large_for_its_text() -> None:
    ids = text() * 20_000
    contexts = running_contexts(ids, 0, 3)
    plain = Plain(events_of(contexts, ids), 100_000)
    expected = [plain.probability(event[:-1], event[-1]) for event in events_of(contexts, ids)]
    found = model_of(ids, 3, 100_000).probabilities(contexts, ids)
    assert found == pytest.approx(expected, rel=1e-12)
