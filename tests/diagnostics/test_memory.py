"""What context is worth, where it is known, and the same targets at every length."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from unrolled.cells.base import Cell, State
from unrolled.diagnostics.memory import MemoryLength, memory_length, token_losses, why_not
from unrolled.diagnostics.sample import TokenStream
from unrolled.models.encoders import Embedding
from unrolled.models.heads import LinearHead
from unrolled.models.model import RecurrentModel
from unrolled.recurrence.stack import Recurrence

DELAY, WORDS = 12, 4
Make = Callable[..., RecurrentModel]


class Register(Cell):
    """The latest ``DELAY`` inputs of four numbers, the newest first."""

    def project(self, x: Tensor) -> Tensor:
        return x

    def step(self, z: Tensor, state: State) -> State:
        return (torch.cat([z, state[0][:, :-WORDS]], -1),)

    def reset_parameters(self) -> None:
        """It has none."""


class Count(Register):
    """How often each token occurred, whenever it did."""

    def step(self, z: Tensor, state: State) -> State:
        return (state[0] + F.pad(z, (0, self.hidden_size - WORDS)),)


def copier(cell: type[Register] = Register, reads: slice = slice(-WORDS, None)) -> RecurrentModel:
    """A model that predicts what stood ``DELAY`` tokens before, and nothing else."""
    recurrence = Recurrence(cell, WORDS, DELAY * WORDS)
    model = RecurrentModel(Embedding(WORDS, WORDS), recurrence, LinearHead(DELAY * WORDS, WORDS))
    with torch.no_grad():
        model.encoder.weight.copy_(torch.eye(WORDS))  # type: ignore[operator]
        for parameter in model.head.parameters():
            parameter.zero_()
        head = model.head
        assert isinstance(head, LinearHead)
        head.linear.weight[:, reads] = 8 * torch.eye(WORDS)
    return model.eval()


def periodic(tokens: int) -> TokenStream:
    """Text that repeats itself every ``DELAY`` tokens."""
    period = np.random.default_rng(1).integers(WORDS, size=DELAY)
    text = np.tile(period, tokens // DELAY + 1)[:tokens]
    return TokenStream(np.concatenate([[0], text]).astype(np.int32), np.array([9, 5, 3, 1]))


def test_the_context_that_a_model_uses_is_found() -> None:
    of = memory_length(copier(), periodic(3000), 200)
    assert of.contexts[-1] == 320
    # 14 is the first of the lengths that has the token 12 back.
    assert of.length() == 14
    blind = of.means[: of.contexts.index(14)]
    assert blind == pytest.approx(np.log(WORDS), rel=1e-6)
    assert of.means[-1] < 0.01
    # 10 tokens in order are too few, 20 enough.
    assert of.order_length == 20
    assert of.shuffled[of.kept.index(20)] == pytest.approx(of.unshuffled)
    assert of.by_position[: DELAY - 1] == pytest.approx(np.log(WORDS), rel=1e-6)
    assert of.by_position[DELAY:].max() < 0.01
    assert of.gains == pytest.approx(np.log(WORDS) - of.losses[-1], rel=1e-6)


def test_shuffling_costs_nothing_where_order_says_nothing() -> None:
    ids = np.random.default_rng(3).integers(WORDS, size=2000).astype(np.int32)
    model = copier(Count, slice(WORDS))
    of = memory_length(model, TokenStream(ids, np.bincount(ids)), 100)
    assert of.shuffled == pytest.approx(of.unshuffled, rel=1e-5)


def test_targets_are_grouped_by_their_frequency() -> None:
    stream = periodic(3000)
    of = memory_length(copier(), stream, 200)
    counts = stream.counts[stream.ids[of.places]]
    members = [counts[which] for which in of.groups.values()]
    assert len(members) >= 2
    for more, less in itertools.pairwise(members):
        assert more.min() > less.max()
    assert sum(map(len, members)) == len(of.places)


def test_each_loss_is_that_of_its_own_context(make_model: Make) -> None:
    model = make_model("lstm", layers=2).float()
    for cell in model.recurrence.cells:
        # So that the farthest token still matters.
        assert isinstance(cell, Cell)
        cell.set_forget_bias(5.0)
    ids = np.random.default_rng(2).integers(7, size=200).astype(np.int32)
    of = memory_length(model, TokenStream(ids, np.bincount(ids)), 5)
    assert of.contexts[-1] == 80
    for context, losses in zip(of.contexts, of.losses, strict=True):
        for place, loss in zip(of.places, losses, strict=True):
            tokens = torch.from_numpy(ids[place - context : place].astype(np.int64))[:, None]
            hidden, _ = model(tokens)
            scores = model.head.scores(hidden)[-1]
            expected = F.cross_entropy(scores, torch.tensor([int(ids[place])]))
            assert loss == pytest.approx(float(expected), rel=1e-4)


def test_losses_token_by_token_carry_the_state(make_model: Make) -> None:
    model = make_model("gru").float()
    ids = np.random.default_rng(2).integers(7, size=1500).astype(np.int32)
    found = token_losses(model, TokenStream(ids, np.bincount(ids)), 1200)
    hidden, _ = model(torch.from_numpy(ids[:1200].astype(np.int64))[:, None])
    targets = torch.from_numpy(ids[1:1201].astype(np.int64))
    expected = F.cross_entropy(model.head.scores(hidden)[:, 0], targets, reduction="none")
    assert found == pytest.approx(expected.numpy(), rel=1e-4)


def test_lengths_with_and_without_an_answer() -> None:
    losses = np.array([[2.0, 2.0], [1.02, 1.02], [1.005, 1.005], [1.0, 1.0]])
    nothing = np.zeros(0, dtype=np.int64)
    of = MemoryLength(
        nothing, (1, 2, 3, 4), losses, {}, (5, 10), np.array([2.0, 1.9]), 1.0, losses[0]
    )
    assert of.length() == 3
    assert of.order_length is None


def test_where_it_does_not_apply(make_model: Make) -> None:
    stream = periodic(100)
    assert why_not(make_model("gru"), stream) is None
    assert "running text" in str(why_not(make_model("gru"), None))
    assert "next token" in str(why_not(make_model("gru", bidirectional=True), stream))
    assert "eight tokens" in str(
        why_not(make_model("gru"), TokenStream(stream.ids[:5], stream.counts))
    )
