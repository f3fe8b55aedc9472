import pytest
import torch
from torch import Tensor

from unrolled.cells.lstm import LSTM
from unrolled.models.encoders import Embedding, Features, OneHot
from unrolled.models.heads import LinearHead, TiedHead, ValueHead
from unrolled.models.model import RecurrentModel
from unrolled.models.regularization import WordDropout
from unrolled.recurrence.stack import Recurrence

VOCABULARY, EMBEDDING, HIDDEN = 11, 6, 8
ALL_OF_IT = 1 - 1e-9


def make(
    size: int = EMBEDDING,
    hidden: int = HIDDEN,
    *,
    tied: bool = False,
    embedding_dropout: float = 0.0,
    output_dropout: float = 0.0,
) -> RecurrentModel:
    torch.manual_seed(2)
    recurrence, encoder = Recurrence(LSTM, size, hidden), Embedding(VOCABULARY, size)
    return RecurrentModel(
        encoder,
        recurrence,
        TiedHead(hidden, encoder) if tied else LinearHead(hidden, VOCABULARY),
        embedding_dropout=embedding_dropout,
        output_dropout=output_dropout,
    )


def scores(model: RecurrentModel, tokens: Tensor) -> Tensor:
    return model.head.scores(model(tokens)[0])


def parameters_of_lstm(inputs: int, hidden: int) -> int:
    return sum(p.numel() for p in LSTM(inputs, hidden).parameters())


TOKENS = torch.arange(10).view(5, 2)


def test_it_scores_every_token_at_every_step() -> None:
    model = make()
    hidden, states = model(TOKENS)
    assert hidden.shape == (5, 2, HIDDEN)
    assert model.head.scores(hidden).shape == (5, 2, VOCABULARY)
    assert [part.shape for part in states[0]] == [(2, HIDDEN), (2, HIDDEN)]


def test_it_does_not_look_ahead() -> None:
    model = make()
    changed = TOKENS.clone()
    changed[3:] = 0
    assert torch.equal(model(TOKENS)[0][:3], model(changed)[0][:3])


def test_parameters_are_those_of_the_parts() -> None:
    lstm = parameters_of_lstm(EMBEDDING, HIDDEN)
    expected = VOCABULARY * EMBEDDING + lstm + VOCABULARY * HIDDEN + VOCABULARY
    assert make().parameter_count() == expected


@pytest.mark.parametrize(("tied", "hidden"), [(False, HIDDEN), (True, HIDDEN), (True, EMBEDDING)])
def test_arithmetic_is_that_of_the_products(tied: bool, hidden: int) -> None:
    lstm = 4 * hidden * (EMBEDDING + hidden)
    between = hidden * EMBEDDING if tied and hidden != EMBEDDING else 0
    head = (EMBEDDING if tied else hidden) * VOCABULARY
    assert make(hidden=hidden, tied=tied).flops_per_token() == 2 * (lstm + between + head)


def test_tied_weights_are_one_matrix_counted_once() -> None:
    model = make(6, 6, tied=True)
    assert isinstance(model.head, TiedHead)
    assert model.head.projection is None
    assert model.head.linear.weight is model.encoder.weight
    lstm = parameters_of_lstm(6, 6)
    assert model.parameter_count() == VOCABULARY * 6 + lstm + VOCABULARY
    # A gradient from either use reaches it.
    scores(model, TOKENS).sum().backward()
    assert isinstance(model.encoder, Embedding)
    assert model.encoder.weight.grad is not None
    assert model.encoder.weight.grad[10].ne(0).any()


def test_tied_weights_of_other_widths_have_a_projection_between() -> None:
    model = make(EMBEDDING, HIDDEN, tied=True)
    assert isinstance(model.head, TiedHead)
    assert model.head.linear.weight is model.encoder.weight
    lstm = parameters_of_lstm(EMBEDDING, HIDDEN)
    expected = VOCABULARY * EMBEDDING + lstm + HIDDEN * EMBEDDING + VOCABULARY
    assert model.parameter_count() == expected
    assert scores(model, TOKENS).shape == (5, 2, VOCABULARY)


def test_tied_logits_start_small() -> None:
    wide = make(512, 512, tied=True)
    assert float(scores(wide, TOKENS).detach().std()) < 1


def test_embedding_dropout_is_before_the_recurrence() -> None:
    model = make(embedding_dropout=ALL_OF_IT)
    hidden, _ = model(TOKENS)
    other, _ = model(torch.zeros_like(TOKENS))
    # Every token looks the same, and the recurrence still moves with time.
    assert torch.equal(hidden, other)
    assert not torch.allclose(hidden[0], hidden[4])


def test_output_dropout_is_after_the_recurrence() -> None:
    model = make(output_dropout=ALL_OF_IT)
    hidden, states = model(TOKENS)
    assert hidden.eq(0).all()
    _, undisturbed = model.eval()(TOKENS)
    assert torch.equal(states[0][0], undisturbed[0][0])


@pytest.mark.parametrize("tied", [False, True])
def test_evaluation_repeats(tied: bool) -> None:
    model = make(tied=tied, embedding_dropout=0.5, output_dropout=0.5).eval()
    assert torch.equal(model(TOKENS)[0], model(TOKENS)[0])


@pytest.mark.parametrize("lengths", [None, torch.tensor([3, 5])])
def test_the_last_step_is_that_of_each_sequence(lengths: Tensor | None) -> None:
    torch.manual_seed(2)
    encoder, recurrence = Features(3), Recurrence(LSTM, 3, HIDDEN)
    every = RecurrentModel(encoder, recurrence, ValueHead(HIDDEN, 2))
    last = RecurrentModel(encoder, recurrence, every.head, readout="last")
    x = torch.randn(5, 2, 3)
    hidden, _ = every(x, None, lengths)
    ends = [4, 4] if lengths is None else (lengths - 1).tolist()
    expected = torch.stack([hidden[end, row] for row, end in enumerate(ends)])
    assert torch.equal(last(x, None, lengths)[0], expected)


def vectors_encoded(model: RecurrentModel, tokens: Tensor) -> int:
    """How many tokens the encoder makes vectors of in a pass."""
    counts = [0]
    model.encoder.register_forward_hook(lambda *arguments: counts.append(arguments[1][0].numel()))
    model(tokens)
    return sum(counts)


@pytest.mark.parametrize("encoder", [Embedding(VOCABULARY, VOCABULARY), OneHot(VOCABULARY)])
def test_tokens_that_come_again_are_projected_once(encoder: Embedding | OneHot) -> None:
    torch.manual_seed(2)
    recurrence, head = Recurrence(LSTM, VOCABULARY, HIDDEN), LinearHead(HIDDEN, VOCABULARY)
    model = RecurrentModel(encoder, recurrence, head)
    often = torch.randint(VOCABULARY, (11, 2))
    expected = recurrence(encoder(often))[0]
    torch.testing.assert_close(model(often)[0], expected, rtol=0, atol=1e-6)
    assert vectors_encoded(model, often) == 0
    # Fewer than two for each token of the vocabulary: their vectors are projected.
    assert vectors_encoded(model, often[1:]) == 20


@pytest.mark.parametrize("rate", ["embedding_dropout", "word_dropout"])
def test_dropout_of_vectors_leaves_nothing_to_look_up(rate: str) -> None:
    model = make(embedding_dropout=0.5 if rate == "embedding_dropout" else 0.0)
    model.word_dropout = WordDropout(0.5 if rate == "word_dropout" else 0.0, VOCABULARY)
    often = torch.randint(VOCABULARY, (11, 2))
    assert vectors_encoded(model, often) == 22
    assert vectors_encoded(model.eval(), often) == 0
