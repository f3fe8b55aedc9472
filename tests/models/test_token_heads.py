from dataclasses import replace

import numpy as np
import pytest
import torch

from unrolled.config.compose import compose_run
from unrolled.errors import ConfigError
from unrolled.models.adaptive_embedding import AdaptiveEmbedding
from unrolled.models.adaptive_head import AdaptiveHead
from unrolled.models.build import Parts, build_model
from unrolled.models.encoders import Embedding
from unrolled.models.heads import LinearHead
from unrolled.models.model import RecurrentModel
from unrolled.models.sampled_head import SampledHead
from unrolled.runs.identity import plain

TOKENS = 2000
COUNTS = np.random.default_rng(0).permutation((1e6 / np.arange(1, TOKENS + 1)).astype(np.int64))
PARTS = Parts(
    16,
    lambda: Embedding(TOKENS, 16),
    lambda hidden_size, _: LinearHead(hidden_size, TOKENS),
    tokens=TOKENS,
    counts=lambda: COUNTS,
)


def build(*overrides: str, parts: Parts = PARTS) -> RecurrentModel:
    torch.manual_seed(4)
    sizes = ["model.embedding_size=16", "model.hidden_size=24"]
    return build_model(plain(compose_run([*sizes, *overrides])), parts)


def test_tied_an_adaptive_head_shares_an_adaptive_embedding() -> None:
    own, tied = (
        build("head=adaptive", f"model.tied_weights={tied}") for tied in ("false", "true")
    )
    assert isinstance(own.encoder, Embedding)
    assert isinstance(tied.encoder, AdaptiveEmbedding)
    assert isinstance(tied.head, AdaptiveHead)
    assert tied.head.outputs[0].weight is tied.encoder.tables[0].weight
    assert tied.parameter_count() < own.parameter_count()
    # The matrices of an adaptive embedding are work for each token; looking up is none.
    recurrent, head = tied.recurrence.flops_per_token(), tied.head.flops()
    assert tied.flops_per_token() == recurrent + head + tied.encoder.flops() > recurrent + head


def test_tied_a_sampled_head_shares_the_embedding() -> None:
    model = build("head=sampled", "model.tied_weights=true", "head.samples=100")
    assert isinstance(model.head, SampledHead)
    assert isinstance(model.encoder, Embedding)
    assert model.head.linear.weight is model.encoder.weight


@pytest.mark.parametrize("tied", ["true", "false"])
@pytest.mark.parametrize("head", ["adaptive", "sampled"])
def test_budgets_are_met_with_every_head(head: str, tied: str) -> None:
    options = [f"head={head}", f"model.tied_weights={tied}", "cell=gru"]
    options += ["head.samples=100"] if head == "sampled" else []
    parameters = build(*options, "budget.parameters=200000").parameter_count()
    assert parameters == pytest.approx(200_000, rel=0.02)
    flops = build(*options, "budget.flops=300000").flops_per_token()
    assert flops == pytest.approx(300_000, rel=0.02)


def test_counts_are_asked_for_only_where_a_head_needs_them() -> None:
    def counted() -> None:
        raise AssertionError

    assert isinstance(build(parts=replace(PARTS, counts=counted)).head, LinearHead)


@pytest.mark.parametrize("head", ["adaptive", "sampled"])
def test_parts_without_tokens_have_no_other_head(head: str) -> None:
    with pytest.raises(ConfigError, match=f"head={head}: the task has no tokens to predict"):
        build(f"head={head}", parts=replace(PARTS, tokens=None))


def test_a_trained_model_needs_its_cutoffs_and_no_counts() -> None:
    made = build("head=adaptive")
    cutoffs = made.head.describe()["cutoffs"]
    unknown = replace(PARTS, counts=lambda: None)
    again = build("head=adaptive", f"head.cutoffs={cutoffs}", parts=unknown)
    again.load_state_dict(made.state_dict())
    hidden = torch.randn(3, 24)
    assert torch.equal(again.head.scores(hidden), made.head.scores(hidden))
