import copy
import math
import pickle
import tracemalloc

import pytest
import torch
from torch import Tensor
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassF1Score,
    MulticlassPrecision,
    MulticlassRecall,
)
from torchmetrics.text import Perplexity

from unrolled.data.batches import IGNORE
from unrolled.models.heads import LinearHead
from unrolled.tasks import token_metrics as language_metrics
from unrolled.tasks.token_metrics import TokenMetrics, from_loss

TIME, BATCH, VOCABULARY = 60, 4, 20
Chunk = tuple[Tensor, Tensor]


class Given(LinearHead):
    """A head whose scores are what it reads; it notes how many rows it was asked for at once."""

    def __init__(self) -> None:
        super().__init__(1, 1)
        self.rows: list[int] = []

    def scores(self, hidden: Tensor) -> Tensor:
        self.rows.append(hidden.flatten(0, -2).shape[0])
        return hidden


HEAD = Given()


def chunk(seed: int = 0, vocabulary: int = VOCABULARY, ignored: float = 0.2) -> Chunk:
    """Scores that prefer the target somewhat, and targets of which some are ignored; some classes
    never occur."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(TIME, BATCH, vocabulary, generator=generator)
    targets = torch.randint(0, vocabulary - 4, (TIME, BATCH), generator=generator)
    logits.scatter_add_(-1, targets[..., None], torch.full((TIME, BATCH, 1), 1.5))
    logits[..., -2:] -= 50
    targets[torch.rand(TIME, BATCH, generator=generator) < ignored] = IGNORE
    return logits, targets


def measured(*chunks: Chunk, vocabulary: int = VOCABULARY) -> dict[str, float]:
    metrics = TokenMetrics(vocabulary)
    for logits, targets in chunks:
        metrics.update(HEAD, logits, targets)
    return metrics.compute()


def test_perplexity_is_torchmetrics() -> None:
    logits, targets = chunk()
    reference = Perplexity(ignore_index=IGNORE)
    reference.update(logits.double(), targets)
    found = measured((logits, targets))
    assert found["perplexity"] == pytest.approx(float(reference.compute()), rel=1e-6)
    assert found["loss"] == pytest.approx(math.log(found["perplexity"]), rel=1e-12)


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("accuracy", MulticlassAccuracy(VOCABULARY, average="micro", ignore_index=IGNORE)),
        (
            "accuracy_top5",
            MulticlassAccuracy(VOCABULARY, average="micro", top_k=5, ignore_index=IGNORE),
        ),
        ("precision_macro", MulticlassPrecision(VOCABULARY, ignore_index=IGNORE)),
        ("recall_macro", MulticlassRecall(VOCABULARY, ignore_index=IGNORE)),
        ("f1_macro", MulticlassF1Score(VOCABULARY, ignore_index=IGNORE)),
        (
            "precision_micro",
            MulticlassPrecision(VOCABULARY, average="micro", ignore_index=IGNORE),
        ),
        ("recall_micro", MulticlassRecall(VOCABULARY, average="micro", ignore_index=IGNORE)),
        ("f1_micro", MulticlassF1Score(VOCABULARY, average="micro", ignore_index=IGNORE)),
    ],
)
def test_counts_are_torchmetrics(name: str, reference: MulticlassAccuracy) -> None:
    chunks = [chunk(seed) for seed in range(3)]
    for logits, targets in chunks:
        reference.update(logits.flatten(0, 1), targets.flatten())
    assert measured(*chunks)[name] == pytest.approx(float(reference.compute()), abs=1e-6)


def test_the_names_are_those_of_a_record() -> None:
    assert set(measured(chunk())) == {
        "loss", "perplexity", "bits_per_character", "accuracy", "accuracy_top5",
        "precision_macro", "recall_macro", "f1_macro",
        "precision_micro", "recall_micro", "f1_micro",
    }  # fmt: skip


@pytest.mark.parametrize("length", [1, 7, 35])
def test_the_length_of_a_chunk_changes_nothing(length: int) -> None:
    logits, targets = chunk()
    cut = zip(torch.split(logits, length), torch.split(targets, length), strict=True)
    assert measured(*cut) == pytest.approx(measured((logits, targets)), rel=1e-14)


def test_scores_are_made_for_a_part_of_the_tokens_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = measured(chunk())
    monkeypatch.setattr(language_metrics, "SCORES", 7 * VOCABULARY + 3)
    HEAD.rows.clear()
    assert measured(chunk()) == pytest.approx(whole, rel=1e-14)
    assert max(HEAD.rows) == 7
    assert sum(HEAD.rows) == TIME * BATCH


def test_the_number_of_streams_changes_nothing() -> None:
    logits, targets = chunk()
    single = [(logits[:, [i]], targets[:, [i]]) for i in range(BATCH)]
    assert measured(*single) == pytest.approx(measured((logits, targets)), rel=1e-14)


def test_perplexity_is_not_a_mean_over_batches() -> None:
    """One batch of 9 sure tokens and one of 1 that was nearly excluded."""
    sure = torch.tensor([[[0.0, -20.0]]]).repeat(9, 1, 1), torch.zeros(9, 1, dtype=torch.long)
    lost = torch.tensor([[[0.0, -20.0]]]), torch.ones(1, 1, dtype=torch.long)
    exact = math.exp(20 / 10)
    mean_of_batches = (1 + math.exp(20)) / 2
    found = measured(sure, lost, vocabulary=2)["perplexity"]
    assert found == pytest.approx(exact, rel=1e-6)
    assert mean_of_batches > 1e7 * exact


def test_long_sums_lose_nothing() -> None:
    """A float32 sum would stop growing, or lose the small terms, long before this."""
    metrics = TokenMetrics(2)
    metrics.nll += 1e9
    logits = torch.tensor([[[0.0, 0.0]]])
    for _ in range(10):
        metrics.update(HEAD, logits, torch.zeros(1, 1, dtype=torch.long))
    assert float(metrics.nll) - 1e9 == pytest.approx(10 * math.log(2), abs=1e-5)


def test_bf16_logits_are_measured_as_the_numbers_they_are() -> None:
    logits, targets = chunk()
    rounded = logits.bfloat16()
    assert measured((rounded, targets)) == pytest.approx(measured((rounded.float(), targets)))
    found, exact = measured((rounded, targets))["loss"], measured((logits, targets))["loss"]
    assert found == pytest.approx(exact, abs=0.01)


def test_tied_scores_take_no_more_than_five_places() -> None:
    """A model that knows nothing is not right in its first five places."""
    logits = torch.zeros(VOCABULARY, 1, VOCABULARY)
    found = measured((logits, torch.arange(VOCABULARY)[:, None]))
    assert found["accuracy"] == pytest.approx(1 / VOCABULARY)
    assert found["accuracy_top5"] == pytest.approx(5 / VOCABULARY)


def test_scores_that_are_no_numbers_show_in_the_loss() -> None:
    logits, targets = chunk()
    logits[3, 0, 0], targets[3, 0] = torch.nan, 1
    assert math.isnan(measured((logits, targets))["loss"])


def test_a_vocabulary_of_fewer_than_five_has_no_more_places() -> None:
    logits = torch.tensor([[[0.1, 0.2, 0.3]]])
    found = measured((logits, torch.tensor([[0]])), vocabulary=3)
    assert (found["accuracy"], found["accuracy_top5"]) == (0, 1)


def test_a_chunk_of_ignored_targets_adds_nothing() -> None:
    logits, targets = chunk()
    nothing = (logits, torch.full_like(targets, IGNORE))
    assert measured((logits, targets), nothing) == measured((logits, targets))


def test_fifty_thousand_words_fit() -> None:
    vocabulary = 50_000
    metrics = TokenMetrics(vocabulary)
    stored = sum(t.numel() * t.element_size() for t in metrics.metric_state.values()
                 if isinstance(t, Tensor))  # fmt: skip
    # Three counts a class; a confusion matrix would have 20 GB.
    assert stored < 2_000_000
    logits = torch.zeros(4, 1, vocabulary)
    targets = torch.tensor([[0], [7], [49_999], [IGNORE]])
    for row in (0, 1):
        logits[row, 0, targets[row]] = 30.0
    metrics.update(HEAD, logits, targets)
    found = metrics.compute()
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["loss"] == pytest.approx(math.log(vocabulary) / 3, rel=1e-4)


def test_ranks_are_added_up() -> None:
    """What torchmetrics' synchronization does: each state is reduced by its own rule."""
    chunks = [chunk(seed) for seed in range(3)]
    ranks = []
    for logits, targets in chunks:
        metrics = TokenMetrics(VOCABULARY)
        metrics.update(HEAD, logits, targets)
        ranks.append(metrics)
    whole = TokenMetrics(VOCABULARY)
    for name, rule in whole._reductions.items():
        assert callable(rule)
        parts = torch.stack([getattr(rank, name) for rank in ranks])
        setattr(whole, name, rule(parts))
    whole._update_count = 1
    assert whole.compute() == pytest.approx(measured(*chunks), rel=1e-14)


def test_states_can_be_merged() -> None:
    first, second = chunk(1), chunk(2)
    one, other = TokenMetrics(VOCABULARY), TokenMetrics(VOCABULARY)
    one.update(HEAD, *first)
    other.update(HEAD, *second)
    one.merge_state(other)
    assert one.compute() == pytest.approx(measured(first, second), rel=1e-14)


def test_it_can_be_pickled_cloned_and_copied_under_way() -> None:
    first, second = chunk(1), chunk(2)
    metrics = TokenMetrics(VOCABULARY, tokens_per_character=0.5)
    metrics.update(HEAD, *first)
    for twin in (pickle.loads(pickle.dumps(metrics)), metrics.clone(), copy.deepcopy(metrics)):
        twin.update(HEAD, *second)
        expected = measured(first, second)
        expected["bits_per_character"] /= 2
        assert twin.compute() == pytest.approx(expected, rel=1e-14)
    assert metrics.compute()["loss"] == measured(first)["loss"]


def test_a_reset_forgets_everything() -> None:
    metrics = TokenMetrics(VOCABULARY)
    metrics.update(HEAD, *chunk(1))
    metrics.compute()
    metrics.reset()
    metrics.update(HEAD, *chunk(2))
    assert metrics.compute() == measured(chunk(2))


def test_bits_per_character_is_over_the_raw_text() -> None:
    found = from_loss(math.log(2), tokens_per_character=0.25)
    expected = {"loss": math.log(2), "perplexity": 2.0, "bits_per_character": 0.25}
    assert found == pytest.approx(expected)


def test_a_loss_beyond_floats_has_an_infinite_perplexity() -> None:
    assert from_loss(1e4, 1.0)["perplexity"] == math.inf


def test_measuring_leaves_the_memory_as_it_was() -> None:
    metrics = TokenMetrics(VOCABULARY)
    logits, targets = chunk()
    metrics.update(HEAD, logits.requires_grad_(), targets)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(50):
        metrics.update(HEAD, logits, targets)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 20_000
    assert not metrics.nll.requires_grad
