import itertools

import pytest
import torch

from unrolled.cells.gru import GRU
from unrolled.models.encoders import Embedding
from unrolled.models.heads import LinearHead
from unrolled.models.model import RecurrentModel
from unrolled.recurrence.stack import Recurrence
from unrolled.tasks.language_modeling.beams import beam_search
from unrolled.tasks.sampling import Sampling, generate

VOCABULARY, LENGTH = 4, 3
SEEDS = range(8)


def model(seed: int = 0, vocabulary: int = VOCABULARY) -> RecurrentModel:
    torch.manual_seed(seed)
    ends = Embedding(vocabulary, 8), Recurrence(GRU, 8, 8), LinearHead(8, vocabulary)
    network = RecurrentModel(*ends, embedding_dropout=0.5)
    for parameter in network.parameters():
        # Far from uniform and from forgetful, so that the best text begins with any token, and
        # what follows depends on all before it.
        torch.nn.init.normal_(parameter, std=0.8)
    return network


@torch.no_grad()
def log_probability(network: RecurrentModel, prompt: list[int], text: list[int]) -> float:
    """Of a text after the prompt, read at once."""
    ids = torch.tensor([*prompt, *text])[:, None]
    hidden, _ = network.eval()(ids)
    scores = network.head.scores(hidden)[:, 0].double().log_softmax(-1)
    places = range(len(prompt) - 1, len(ids) - 1)
    return sum(float(scores[place, token]) for place, token in zip(places, text, strict=True))


@pytest.mark.parametrize("seed", SEEDS)
def test_beams_for_every_text_find_the_most_probable(seed: int) -> None:
    network = model(seed)
    texts = map(list, itertools.product(range(VOCABULARY), repeat=LENGTH))
    best = max(texts, key=lambda text: log_probability(network, [3, 1], text))
    found = beam_search(network, [3, 1], beams=VOCABULARY**LENGTH, length=LENGTH)
    assert found == best


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("stop", range(VOCABULARY))
def test_with_an_end_they_find_the_most_probable_per_token(seed: int, stop: int) -> None:
    network = model(seed)
    texts = {
        (*text[: text.index(stop)], stop) if stop in text else text
        for text in itertools.product(range(VOCABULARY), repeat=LENGTH)
    }
    best = max(texts, key=lambda text: log_probability(network, [3, 1], [*text]) / len(text))
    found = beam_search(network, [3, 1], beams=VOCABULARY**LENGTH, length=LENGTH, stop=stop)
    assert found == [token for token in best if token != stop]


@pytest.mark.parametrize("stop", [None, 5])
@pytest.mark.parametrize("penalty", [1.0, 1.5])
@pytest.mark.parametrize("seed", SEEDS)
def test_one_beam_is_greedy(seed: int, penalty: float, stop: int | None) -> None:
    network = model(seed, vocabulary=12)
    sampling = Sampling(temperature=0.0, repetition_penalty=penalty)
    greedy = generate(network, [3, 1], length=25, sampling=sampling, seed=1, stop=stop)
    found = beam_search(network, [3, 1], beams=1, length=25, stop=stop, repetition_penalty=penalty)
    assert found == list(greedy)


def test_more_beams_find_a_more_probable_text_than_greedy_and_the_same_each_time() -> None:
    better = 0
    for seed in SEEDS:
        network = model(seed, vocabulary=12)
        one, four = (beam_search(network, [3], beams=beams, length=12) for beams in (1, 4))
        assert four == beam_search(network, [3], beams=4, length=12)
        better += log_probability(network, [3], four) > log_probability(network, [3], one) + 1e-9
    assert better


def test_a_high_penalty_lets_no_token_come_twice() -> None:
    network = model(vocabulary=12)
    assert isinstance(network.head, LinearHead)
    # A positive score falls to no less than 0.
    torch.nn.init.constant_(network.head.linear.bias, -100.0)
    found = beam_search(network, [3, 1], beams=3, length=11, repetition_penalty=1e6)
    assert sorted({1, *found}) == [*range(12)]


@pytest.mark.parametrize("training", [True, False])
def test_the_models_mode_is_given_back(training: bool) -> None:
    network = model().train(training)
    beam_search(network, [1], beams=2, length=3)
    assert network.training is training
