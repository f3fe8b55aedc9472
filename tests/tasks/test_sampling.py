from collections import Counter
from collections.abc import Generator

import pytest
import torch

from unrolled.cells.gru import GRU
from unrolled.errors import ConfigError
from unrolled.models.encoders import Embedding
from unrolled.models.heads import LinearHead
from unrolled.models.model import RecurrentModel
from unrolled.recurrence.stack import Recurrence
from unrolled.tasks.sampling import Sampling, generate, generate_together, penalized

# Of the probabilities 0.5, 0.25, 0.15, 0.1, in an order that is not theirs.
PROBABILITIES = torch.tensor([0.15, 0.5, 0.1, 0.25])
LOGITS = PROBABILITIES.log()


def counts(sampling: Sampling, logits: torch.Tensor = LOGITS, draws: int = 400) -> Counter[int]:
    generator = torch.Generator().manual_seed(0)
    return Counter(sampling.draw(logits, generator) for _ in range(draws))


def model(vocabulary: int = 12) -> RecurrentModel:
    torch.manual_seed(5)
    ends = Embedding(vocabulary, 8), Recurrence(GRU, 8, 8), LinearHead(8, vocabulary)
    return RecurrentModel(*ends, embedding_dropout=0.5)


def linear_of(network: RecurrentModel) -> torch.nn.Linear:
    assert isinstance(network.head, LinearHead)
    return network.head.linear


def text(**options: object) -> list[int]:
    arguments: dict[str, object] = {"length": 30, "sampling": Sampling(), "seed": 1, **options}
    return list(generate(model(), [3, 1], **arguments))  # type: ignore[arg-type]


def test_greedy_takes_the_most_probable() -> None:
    assert counts(Sampling(temperature=0.0)) == {1: 400}


def test_plain_draws_follow_the_probabilities() -> None:
    found = counts(Sampling(), draws=4000)
    for token, probability in enumerate(PROBABILITIES.tolist()):
        # Four standard deviations of a proportion.
        margin = 4 * (probability * (1 - probability) / 4000) ** 0.5
        assert abs(found[token] / 4000 - probability) < margin


def test_temperature_sharpens_and_flattens() -> None:
    cold, hot = counts(Sampling(temperature=0.3)), counts(Sampling(temperature=50.0))
    assert cold[1] > 340
    assert min(hot[token] for token in range(4)) > 60


def test_a_tiny_temperature_is_greedy_and_finite() -> None:
    assert counts(Sampling(temperature=1e-6)) == {1: 400}


def test_top_k_keeps_the_k_most_probable() -> None:
    assert set(counts(Sampling(top_k=2))) == {1, 3}
    assert set(counts(Sampling(top_k=1))) == {1}
    assert set(counts(Sampling(top_k=4))) == set(counts(Sampling(top_k=99))) == {0, 1, 2, 3}


def test_top_k_keeps_no_more_where_tokens_are_tied() -> None:
    for k in (1, 3):
        assert len(counts(Sampling(top_k=k), torch.zeros(10))) == k


def test_top_p_keeps_the_smallest_set_that_has_the_probability() -> None:
    assert set(counts(Sampling(top_p=0.01))) == {1}
    assert set(counts(Sampling(top_p=0.6))) == {1, 3}
    assert set(counts(Sampling(top_p=0.8))) == {1, 3, 0}
    assert set(counts(Sampling(top_p=1.0))) == {0, 1, 2, 3}


def test_top_p_of_exactly_the_first_probability_keeps_the_first_alone() -> None:
    halves = torch.tensor([0.5, 0.25, 0.25]).log()
    assert set(counts(Sampling(top_p=0.5), halves)) == {0}


def test_top_k_and_top_p_together_keep_what_both_do() -> None:
    # Among the two of top-k the first has 2/3 of the probability.
    assert set(counts(Sampling(top_k=2, top_p=0.6))) == {1}
    assert set(counts(Sampling(top_k=2, top_p=0.7))) == {1, 3}


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"temperature": -0.1}, "temperature -0.1"),
        ({"top_k": 0}, "top-k 0"),
        ({"top_p": 0.0}, "top-p 0"),
        ({"top_p": 1.1}, "top-p 1.1"),
    ],
)
def test_values_that_no_draw_could_use_are_refused(options: dict[str, float], name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        Sampling(**options)  # type: ignore[arg-type]


def test_the_seed_repeats_the_text_and_another_changes_it() -> None:
    assert text(seed=7) == text(seed=7)
    assert text(seed=7) != text(seed=8)


def test_sampling_disturbs_no_other_random_choice() -> None:
    network = model()
    before = torch.get_rng_state()
    list(generate(network, [1], length=20, sampling=Sampling(), seed=3))
    assert torch.equal(torch.get_rng_state(), before)


def test_the_length_is_kept_and_the_prompt_is_not_repeated() -> None:
    assert len(text(length=17)) == 17
    assert text(length=0) == []


def test_it_ends_before_the_stop_token() -> None:
    whole = text()
    stop = whole[10]
    assert text(stop=stop) == whole[: whole.index(stop)]


def test_greedy_text_is_that_of_the_whole_prefix_read_at_once() -> None:
    network = model().eval()
    prefix = [3, 1]
    for token in text(sampling=Sampling(temperature=0.0), length=8):
        hidden, _ = network(torch.tensor(prefix)[:, None])
        assert token == int(network.head.scores(hidden)[-1, 0].argmax())
        prefix.append(token)


@pytest.mark.parametrize("training", [True, False])
def test_the_models_mode_is_given_back(training: bool) -> None:
    network = model().train(training)
    list(generate(network, [1], length=3, sampling=Sampling(), seed=1))
    assert network.training is training


def test_the_models_mode_is_given_back_by_a_reader_that_stops() -> None:
    network = model().train()
    stream = generate(network, [1], length=30, sampling=Sampling(), seed=1)
    next(stream)
    assert isinstance(stream, Generator)
    stream.close()
    assert network.training


def test_no_gradient_is_kept_and_the_readers_own_is_left_on() -> None:
    stream = generate(model(), [1], length=5, sampling=Sampling(), seed=1)
    next(stream)
    assert torch.is_grad_enabled()


def test_a_penalty_lowers_positive_and_negative_logits_of_used_tokens_alone() -> None:
    logits = torch.tensor([2.0, -2.0, 0.0, 3.0, -1.0])
    assert penalized(logits, [1, 0, 2, 0], 2.0).tolist() == [1.0, -4.0, 0.0, 3.0, -1.0]
    assert penalized(logits, [0, 1], 1.0).tolist() == logits.tolist()
    assert penalized(logits, [], 2.0).tolist() == logits.tolist()


def test_a_high_penalty_lets_no_token_come_twice() -> None:
    network = model()
    # A positive score falls to no less than 0.
    torch.nn.init.constant_(linear_of(network).bias, -100.0)

    def greedy(penalty: float) -> list[int]:
        sampling = Sampling(temperature=0.0, repetition_penalty=penalty)
        return list(generate(network, [3, 1], length=11, sampling=sampling, seed=1))

    # The first id begins a text and is not a part of it.
    assert sorted({1, *greedy(1e6)}) == [*range(12)]
    assert len(set(greedy(1.0))) < 11


def together(prompts: list[list[int]], **options: object) -> list[list[int]]:
    arguments: dict[str, object] = {
        "length": 20, "sampling": Sampling(), "seeds": range(len(prompts)), "width": 4, **options,
    }  # fmt: skip
    texts: list[list[int]] = [[] for _ in prompts]
    for tokens in generate_together(model(), prompts, **arguments):  # type: ignore[arg-type]
        for found, token in zip(texts, tokens, strict=True):
            if token is not None:
                found.append(token)
    return texts


def test_prompts_of_unequal_lengths_go_on_as_each_would_alone() -> None:
    prompts = [[3, 1], [3], [3, 1, 4, 1, 5, 9, 2]]
    alone = [
        list(generate(model(), prompt, length=20, sampling=Sampling(), seed=seed))
        for seed, prompt in enumerate(prompts)
    ]
    assert together(prompts) == alone


@pytest.mark.parametrize("prompts", [1, 3, 4])
def test_the_model_reads_as_many_texts_at_a_time_however_many_prompts(prompts: int) -> None:
    network = model()
    sizes: list[int] = []
    network.register_forward_pre_hook(lambda _, inputs: sizes.append(inputs[0].shape[1]))
    steps = generate_together(
        network, [[3]] * prompts, length=3, sampling=Sampling(), seeds=range(prompts), width=4
    )
    assert len([*steps]) == 3
    assert sizes == [1] * prompts + [4, 4]


def test_a_text_that_ends_ends_alone() -> None:
    prompts = [[3, 1], [3], [3, 1, 4]]
    whole = together(prompts)
    stop = whole[0][4]
    ended = [text[: text.index(stop)] if stop in text else text for text in whole]
    assert len(ended[0]) < len(max(ended, key=len))
    assert together(prompts, stop=stop) == ended
