import pytest
import torch

from unrolled.cells.lstm import LSTM
from unrolled.models.language_model import RecurrentLanguageModel
from unrolled.recurrence.stack import Recurrence

VOCABULARY, EMBEDDING, HIDDEN = 11, 6, 8
ALL_OF_IT = 1 - 1e-9


def make(
    embedding: int = EMBEDDING,
    hidden: int = HIDDEN,
    *,
    tied: bool = False,
    embedding_dropout: float = 0.0,
    output_dropout: float = 0.0,
) -> RecurrentLanguageModel:
    torch.manual_seed(2)
    return RecurrentLanguageModel(
        VOCABULARY,
        embedding,
        hidden,
        Recurrence(LSTM, embedding, hidden),
        tied_weights=tied,
        embedding_dropout=embedding_dropout,
        output_dropout=output_dropout,
    )


TOKENS = torch.arange(10).view(5, 2)


def test_it_scores_every_token_at_every_step() -> None:
    logits, states = make()(TOKENS)
    assert logits.shape == (5, 2, VOCABULARY)
    assert [part.shape for part in states[0]] == [(2, HIDDEN), (2, HIDDEN)]


def test_it_does_not_look_ahead() -> None:
    model = make()
    changed = TOKENS.clone()
    changed[3:] = 0
    assert torch.equal(model(TOKENS)[0][:3], model(changed)[0][:3])


def test_parameters_are_those_of_the_parts() -> None:
    lstm = 4 * HIDDEN * (EMBEDDING + HIDDEN + 2)
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
    assert model.projection is None
    assert model.head.weight is model.embedding.weight
    lstm = 4 * 6 * (6 + 6 + 2)
    assert model.parameter_count() == VOCABULARY * 6 + lstm + VOCABULARY
    # A gradient from either use reaches it.
    model(TOKENS)[0].sum().backward()
    assert model.embedding.weight.grad is not None
    assert model.embedding.weight.grad[10].ne(0).any()


def test_tied_weights_of_other_widths_have_a_projection_between() -> None:
    model = make(EMBEDDING, HIDDEN, tied=True)
    assert model.head.weight is model.embedding.weight
    lstm = 4 * HIDDEN * (EMBEDDING + HIDDEN + 2)
    expected = VOCABULARY * EMBEDDING + lstm + HIDDEN * EMBEDDING + VOCABULARY
    assert model.parameter_count() == expected
    assert model(TOKENS)[0].shape == (5, 2, VOCABULARY)


def test_tied_logits_start_small() -> None:
    wide = make(512, 512, tied=True)
    assert float(wide(TOKENS)[0].detach().std()) < 1


def test_embedding_dropout_is_before_the_recurrence() -> None:
    model = make(embedding_dropout=ALL_OF_IT)
    logits, _ = model(TOKENS)
    other, _ = model(torch.zeros_like(TOKENS))
    # Every token looks the same, and the recurrence still moves with time.
    assert torch.equal(logits, other)
    assert not torch.allclose(logits[0], logits[4])


def test_output_dropout_is_after_the_recurrence() -> None:
    model = make(output_dropout=ALL_OF_IT)
    logits, states = model(TOKENS)
    torch.testing.assert_close(logits, model.head.bias.expand_as(logits))
    _, undisturbed = model.eval()(TOKENS)
    assert torch.equal(states[0][0], undisturbed[0][0])


@pytest.mark.parametrize("tied", [False, True])
def test_evaluation_repeats(tied: bool) -> None:
    model = make(tied=tied, embedding_dropout=0.5, output_dropout=0.5).eval()
    assert torch.equal(model(TOKENS)[0], model(TOKENS)[0])
