"""All of it together: on the default corpus, and without a trace in the model."""

import pytest
import torch

from unrolled.config.compose import compose_run
from unrolled.diagnostics.diagnosis import diagnose
from unrolled.diagnostics.gradients import gradient_flow
from unrolled.diagnostics.sample import sample
from unrolled.diagnostics.trajectory import probe
from unrolled.models.build import build_model
from unrolled.tasks.build import build_task, prepare_data


@pytest.mark.slow
def test_the_default_corpus_separates_simple_networks_grus_and_lstms() -> None:
    """At initialization, of equal size: the simple network forgets fastest, and an LSTM whose
    forget gate starts open remembers longest (Gers et al. 2000; Jozefowicz et al. 2015)."""
    slopes = {}
    for cell in ("rnn_tanh", "gru", "lstm"):
        config = compose_run([f"cell={cell}", "budget=equal", "model.forget_bias=1"])
        task, data = build_task(config.task), prepare_data(config)
        batches = task.batches(data, seed=1)
        torch.manual_seed(1)
        model = build_model(config, task.parts(data.fitted, config.model))
        slopes[cell] = gradient_flow(probe(model), sample(batches, "validation", 2000)).slope
    assert slopes["rnn_tanh"] < -0.5 < slopes["gru"] < -0.3 < slopes["lstm"] < -0.1


def test_the_model_and_the_generators_stay_as_they_are(text_file: object) -> None:
    config = compose_run(["dataset=text", f"dataset.path={text_file}", "model.hidden_size=8"])
    task, data = build_task(config.task), prepare_data(config)
    model = build_model(config, task.parts(data.fitted, config.model)).train()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    state = torch.get_rng_state()
    found = diagnose(
        model, task.batches(data, seed=1), split="validation", tokens=300, initial=model
    )
    assert (
        found.numbers["gradients/slope_at_initialization"]
        == (found.numbers["gradients/slope_after_training"])
    )
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
