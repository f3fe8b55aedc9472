import pytest
import torch
from torch import Tensor

from unrolled.config.compose import compose_run
from unrolled.errors import ConfigError
from unrolled.models.build import Parts, build_model
from unrolled.models.encoders import Embedding, Features, OneHot
from unrolled.models.heads import LinearHead, ValueHead
from unrolled.models.model import RecurrentModel
from unrolled.models.regularization import ActivationPenalty, WordDropout
from unrolled.recurrence.lookup import Inputs, vectors
from unrolled.runs.identity import plain

TOKENS = 12
SIZES = ["model.embedding_size=6", "model.hidden_size=5", "cell=gru"]


def build(*overrides: str, one_hot: bool = False) -> RecurrentModel:
    parts = Parts(
        TOKENS if one_hot else 6,
        lambda: OneHot(TOKENS) if one_hot else Embedding(TOKENS, 6),
        lambda hidden_size, _: LinearHead(hidden_size, TOKENS),
    )
    torch.manual_seed(2)
    return build_model(plain(compose_run([*SIZES, *overrides])), parts)


def vectors_read(model: RecurrentModel, ids: Tensor) -> Tensor:
    """What the recurrence is given."""
    read: list[Inputs] = []
    model.recurrence.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
    model(ids)
    return vectors(read[0])


@pytest.mark.parametrize("one_hot", [False, True])
def test_a_dropped_word_is_dropped_wherever_it_occurs(one_hot: bool) -> None:
    model = build("model.word_dropout=0.4", one_hot=one_hot)
    ids = torch.randint(0, TOKENS, (30, 4), generator=torch.Generator().manual_seed(0))
    read = vectors_read(model, ids)
    whole = model.encoder(ids)
    dropped = ~read.any(-1)
    assert set(ids[dropped].tolist()).isdisjoint(ids[~dropped].tolist())
    assert 0 < int(dropped.sum()) < dropped.numel()
    torch.testing.assert_close(read[~dropped], whole[~dropped] / 0.6)
    again = build("model.word_dropout=0.4", one_hot=one_hot).eval()
    assert torch.equal(vectors_read(again, ids), again.encoder(ids))


def test_as_many_words_are_dropped_as_the_rate_says() -> None:
    dropout = WordDropout(0.25, 20_000)
    kept = dropout(torch.ones(20_000, 1, 1), torch.arange(20_000)[:, None])
    assert float((kept == 0).float().mean()) == pytest.approx(0.25, abs=0.02)
    assert float(kept.mean()) == pytest.approx(1, abs=0.02)


def test_numbers_have_no_words_to_leave_out() -> None:
    parts = Parts(3, lambda: Features(3), lambda hidden_size, _: ValueHead(hidden_size, 1))
    with pytest.raises(ConfigError, match=r"model\.word_dropout=0\.1: the task reads numbers"):
        build_model(plain(compose_run([*SIZES, "model.word_dropout=0.1"])), parts)


def test_the_penalty_is_the_papers_and_is_of_training_alone() -> None:
    options = ["model.activation_regularization=2", "model.temporal_activation_regularization=3"]
    model = build(*options, "model.output_dropout=0.5")
    raw: list[Tensor] = []
    model.recurrence.register_forward_hook(lambda _, __, result: raw.append(result[0]))
    ids = torch.randint(0, TOKENS, (7, 4))
    hidden, _ = model(ids)
    expected = 2 * (hidden**2).mean() + 3 * ((raw[0][1:] - raw[0][:-1]) ** 2).mean()
    penalty = model.take_penalty()
    assert penalty is not None
    torch.testing.assert_close(penalty, expected)
    assert not torch.equal(hidden, raw[0])
    penalty.backward()
    assert any(bool(p.grad.any()) for p in model.recurrence.parameters() if p.grad is not None)
    assert model.take_penalty() is None
    model.eval()(ids)
    assert model.take_penalty() is None
    plain_model = build()
    plain_model(ids)
    assert plain_model.take_penalty() is None


def test_padding_is_no_part_of_the_penalty() -> None:
    penalty = ActivationPenalty(2.0, 3.0)
    output = torch.randn(6, 2, 5)
    lengths = torch.tensor([6, 3])
    found = penalty(output, output, lengths)
    output[3:, 1] = 100.0
    torch.testing.assert_close(penalty(output, output, lengths), found)
    assert found is not None
    rows = torch.cat([output[:, 0], output[:3, 1]])
    changes = torch.cat([output[:, 0].diff(dim=0), output[:3, 1].diff(dim=0)])
    torch.testing.assert_close(found, 2 * (rows**2).mean() + 3 * (changes**2).mean())


def test_a_sequence_of_one_step_has_no_change() -> None:
    assert ActivationPenalty(0.0, 3.0)(torch.ones(1, 2, 5), torch.ones(1, 2, 5), None) == 0
