"""Dynamic evaluation and the neural cache: each token is predicted before it is learned from."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from unrolled.data.streams import Streams
from unrolled.data.tokens import TokenizedCorpus
from unrolled.errors import ConfigError
from unrolled.models.model import RecurrentModel
from unrolled.recurrence.stack import detach
from unrolled.tasks.adaptation import Adaptation, DynamicEvaluation, NeuralCache
from unrolled.tasks.build import sources
from unrolled.tasks.language_modeling.adapting import TextAdapter
from unrolled.tasks.language_modeling.cache import CacheMemory
from unrolled.tasks.language_modeling.dynamic import DynamicWeights
from unrolled.training.load import load_run

SGD = DynamicEvaluation("sgd", lr=0.5, decay=0.01, steps=5)
RMS = DynamicEvaluation("rms", lr=0.001, statistics=10)
CACHE = NeuralCache(size=30, theta=0.5, lambda_=0.2)
EVERY = [Adaptation(SGD), Adaptation(RMS), Adaptation(None, CACHE), Adaptation(SGD, CACHE)]
NAMES = ["sgd", "rms", "cache", "sgd and cache"]


@pytest.fixture(scope="module")
def adapter(trained: Path) -> TextAdapter:
    run = load_run(trained)
    data = run.task.prepare(sources(run.config, run.config.paths.cache, ()), run.fitted)
    assert isinstance(data, TokenizedCorpus)
    return TextAdapter(data, run.best_model())


def losses(adapter: TextAdapter, ids: np.ndarray, adaptation: Adaptation) -> torch.Tensor:
    """Of each token."""
    found = []
    for head, hidden, targets in adapter.predictions(ids, adaptation):
        scores = head.scores(hidden).detach()
        found.append(F.cross_entropy(scores[:, 0], targets[:, 0], reduction="none"))
    return torch.cat(found)


def test_what_learns_nothing_is_the_static_evaluation(adapter: TextAdapter) -> None:
    ids = adapter.data.ids["test"][:300]
    nothing = losses(adapter, ids, Adaptation())
    still = Adaptation(DynamicEvaluation("sgd", lr=0, decay=0), NeuralCache(lambda_=0))
    torch.testing.assert_close(losses(adapter, ids, still), nothing, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("adaptation", EVERY, ids=NAMES)
def test_a_token_is_predicted_before_it_is_learned_from(
    adapter: TextAdapter, adaptation: Adaptation
) -> None:
    ids = adapter.data.ids["test"][:200]
    found, static = losses(adapter, ids, adaptation), losses(adapter, ids, Adaptation())
    # The first segment, or the first token, has nothing to have learned from.
    first = 1 if adaptation.dynamic is None or adaptation.cache is not None else 5
    torch.testing.assert_close(found[:first], static[:first], rtol=1e-5, atol=1e-5)
    assert (found[first:] - static[first:]).abs().max() > 1e-3
    other = ids.copy()
    other[103:] = np.random.default_rng(0).permutation(ids[103:])
    assert not np.array_equal(other, ids)
    changed = losses(adapter, other, adaptation)
    # Token 103 is the first that differs: up to it no prediction may know of it.
    assert torch.equal(changed[:103], found[:103])
    assert not torch.equal(changed[104:], found[104:])


@pytest.mark.parametrize("adaptation", EVERY, ids=NAMES)
def test_the_trained_weights_are_given_back(adapter: TextAdapter, adaptation: Adaptation) -> None:
    before = {k: v.clone() for k, v in adapter.model.state_dict().items()}
    first = adapter.predictions(adapter.data.ids["test"][:100], adaptation)
    next(first)
    next(first, None)
    first.close()
    assert all(torch.equal(before[k], v) for k, v in adapter.model.state_dict().items())
    assert all(p.grad is None for p in adapter.model.parameters())


def test_a_step_is_the_paper_s(adapter: TextAdapter) -> None:
    model = adapter.model
    ids = adapter.data.ids["test"][:15]

    def segment_loss(model: RecurrentModel, count: int) -> torch.Tensor:
        inputs = torch.from_numpy(np.array([adapter.data.fitted.start_id, *ids[: count - 1]]))
        hidden, _ = model(inputs[:, None])
        return model.head.loss(hidden, torch.from_numpy(ids[:count].astype(np.int64))[:, None])

    trained = [p.detach().clone() for p in model.parameters()]
    gradients = torch.autograd.grad(segment_loss(model, 5) / 5, list(model.parameters()))
    squares = [torch.zeros_like(p) for p in trained]
    streams = Streams(adapter.data.ids["train"], adapter.data.fitted.start_id, 100, 5)
    states = None
    for place in range(10):
        batch = streams[place]
        hidden, states = model(batch.inputs, states)
        states = detach(states)
        loss = model.head.loss(hidden, batch.targets) / batch.size
        for total, g in zip(
            squares, torch.autograd.grad(loss, [*model.parameters()]), strict=True
        ):
            total += g.square()
    r = [(total / 10).sqrt() for total in squares]
    expected = {
        "sgd": [p - 0.5 * g for p, g in zip(trained, gradients, strict=True)],
        "rms": [p - 0.001 * g / (q + 2e-5) for p, g, q in zip(trained, gradients, r, strict=True)],
    }
    for options in (SGD, RMS):
        steps = adapter.predictions(ids, Adaptation(options))
        next(steps)
        next(steps)
        moved = [p.detach().clone() for p in model.parameters()]
        torch.testing.assert_close(moved, expected[options.rule], rtol=1e-4, atol=1e-6)
        steps.close()


def test_decay_goes_back_to_the_trained_weights() -> None:
    for squares, decays in ((None, [0.25] * 3), ([1.0, 3.0, 8.0], [0.0625, 0.1875, 0.5])):
        model = torch.nn.Linear(3, 1, bias=False)
        start = model.weight.detach().clone()
        r = None if squares is None else [torch.tensor([squares])]
        rule = "sgd" if squares is None else "rms"
        options = DynamicEvaluation(rule, lr=0.0, decay=0.25)  # type: ignore[arg-type]
        weights = DynamicWeights(model, options, r)  # type: ignore[arg-type]
        with torch.no_grad():
            model.weight.add_(1)
        weights.learn(model(torch.ones(3)).sum())
        torch.testing.assert_close(model.weight - start, 1 - torch.tensor([decays]))
        weights.restore()
        assert torch.equal(model.weight, start)


@pytest.mark.parametrize("chunk", [1, 3, 50])
def test_the_cache_is_the_paper_s_whatever_the_chunks(chunk: int) -> None:
    torch.manual_seed(0)
    hidden, targets = torch.randn(50, 4), torch.randint(6, (50,))
    model = torch.randn(50, 6).log_softmax(-1)
    expected = []
    for t in range(50):
        cache = torch.zeros(6)
        for i in range(max(0, t - 7), t):
            cache[targets[i]] += math.exp(0.5 * float(hidden[t] @ hidden[i]))
        p = model[t].exp()
        expected.append(p if t == 0 else 0.8 * p + 0.2 * cache / cache.sum())
    memory = CacheMemory(NeuralCache(size=7, theta=0.5, lambda_=0.2))
    parts = zip(hidden.split(chunk), targets.split(chunk), model.split(chunk), strict=True)
    found = torch.cat([memory.predict_and_store(*part) for part in parts])
    torch.testing.assert_close(found.exp(), torch.stack(expected))
    torch.testing.assert_close(found.exp().sum(-1), torch.ones(50))
    assert memory.states is not None
    assert memory.states.untyped_storage().nbytes() == 7 * 4 * 4


def test_adapting_helps_on_a_text_that_repeats_itself(adapter: TextAdapter) -> None:
    ids = np.tile(adapter.data.ids["test"][:60], 12)
    static = losses(adapter, ids, Adaptation()).mean()
    for adaptation in (Adaptation(SGD), Adaptation(None, NeuralCache(size=200, theta=3.0))):
        assert losses(adapter, ids, adaptation).mean() < static - 0.05


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (DynamicEvaluation, {"rule": "sgd"}, "--dynamic rule=sgd: needs a rate"),
        (DynamicEvaluation, {"lr": -1}, "--dynamic lr=-1: must be at least 0"),
        (DynamicEvaluation, {"lr": math.nan}, "--dynamic lr=nan"),
        (DynamicEvaluation, {"decay": 2}, "--dynamic decay=2: must be from 0 to 1"),
        (DynamicEvaluation, {"steps": 0}, "--dynamic steps=0"),
        (NeuralCache, {"size": 0}, "--cache size=0"),
        (NeuralCache, {"lambda_": 1}, "--cache lambda=1: must be at least 0 and below 1"),
        (NeuralCache, {"theta": math.inf}, "--cache theta=inf"),
    ],
)
def test_values_that_cannot_be(kind: type, options: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        kind(**options)
