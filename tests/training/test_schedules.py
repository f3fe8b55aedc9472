import math
from functools import cache
from itertools import pairwise
from typing import Any, Literal

import pytest
import torch
from omegaconf import DictConfig
from torch.optim.lr_scheduler import ReduceLROnPlateau

from unrolled.config.build import arguments_of, target_of
from unrolled.config.compose import compose_run
from unrolled.training.schedules import Length, plateau

LENGTH = Length(steps_per_epoch=10, total_steps=100, validation_interval=25, monitor="test/loss")


@cache
def node(name: str) -> DictConfig:
    """The schedule as conf has it."""
    chosen = compose_run([f"scheduler={name}"]).scheduler
    assert isinstance(chosen, DictConfig)
    return chosen


def make(name: str, **changes: Any) -> tuple[torch.optim.Optimizer, dict[str, Any]]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    options = {**arguments_of(node(name)), **changes}
    configuration = target_of(node(name))(optimizer, LENGTH, **options)
    return optimizer, configuration


def rates(name: str, **changes: Any) -> list[float]:
    """The rate of each step, the first of them step 1, relative to the configured one; index 0 is
    no step."""
    optimizer, configuration = make(name, **changes)
    # What Lightning reads: a key that it does not know would leave the rate alone in silence.
    assert configuration["interval"] == "step"
    assert configuration["frequency"] == 1
    found = [math.nan]
    for _ in range(LENGTH.total_steps):
        found.append(optimizer.param_groups[0]["lr"] / 2.0)
        optimizer.step()
        configuration["scheduler"].step()
    return found


def by_epoch(found: list[float]) -> list[float]:
    """The rate of each epoch, which must not change within it."""
    epochs = [found[first : first + 10] for first in range(1, 101, 10)]
    assert all(len(set(epoch)) == 1 for epoch in epochs)
    return [epoch[0] for epoch in epochs]


@pytest.mark.parametrize(("mode", "values"), [("min", [3, 2, 1]), ("max", [1, 2, 3])])
def test_plateau_follows_the_direction_of_the_metric(
    mode: Literal["min", "max"], values: list[int]
) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    length = Length(10, 30, 10, "validation/something", mode)
    config = plateau(optimizer, length, name="plateau", factor=0.5, patience=0, minimum_lr=0.0)
    for value in values:
        config["scheduler"].step(value)
    assert optimizer.param_groups[0]["lr"] == 1.0
    config["scheduler"].step(values[0])
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_constant_is_constant() -> None:
    assert set(rates("constant")[1:]) == {1.0}


def test_a_warm_up_rises_linearly_to_the_whole_rate() -> None:
    found = rates("constant", warmup_steps=4)
    assert found[1:7] == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1])


def test_a_cosine_falls_to_its_fraction_at_the_last_step() -> None:
    found = rates("cosine", warmup_steps=20, final_fraction=0.1)
    assert found[1] == pytest.approx(1 / 20)
    assert found[20] == pytest.approx(1)
    assert found[21] == pytest.approx(1)
    assert found[61] == pytest.approx(0.55)
    assert found[100] == pytest.approx(0.1, abs=1e-3)
    assert all(later <= sooner for sooner, later in pairwise(found[21:]))


def test_a_cosine_without_a_warm_up_begins_at_the_whole_rate() -> None:
    assert rates("cosine", warmup_steps=0)[1] == 1


def test_a_warm_up_longer_than_the_run_is_no_fault() -> None:
    found = rates("cosine", warmup_steps=1000)
    assert found[100] == pytest.approx(0.1)


def test_zarembas_small_model_has_four_whole_epochs_and_then_halves() -> None:
    found = by_epoch(rates("exponential", factor=0.5, first_epoch=5))
    assert found == [1, 1, 1, 1, 1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 64]


def test_the_control_panels_exponential_is_zarembas() -> None:
    assert rates("exponential")[1:] == rates("exponential", factor=0.5, first_epoch=5)[1:]


def test_an_exponential_can_begin_with_the_first_epoch() -> None:
    assert by_epoch(rates("exponential", factor=0.1, first_epoch=1))[:2] == [0.1, 0.1**2]


def test_steps_are_some_epochs_apart() -> None:
    found = by_epoch(rates("step", factor=0.5, first_epoch=3, every_epochs=3))
    assert found == [1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125, 0.125]


def test_a_plateau_looks_at_the_monitored_metric_after_each_validation() -> None:
    optimizer, configuration = make("plateau", patience=1, factor=0.5, minimum_lr=0.6)
    scheduler = configuration["scheduler"]
    assert isinstance(scheduler, ReduceLROnPlateau)
    assert configuration["monitor"] == "test/loss"
    found = []
    for value in (3.0, 2.0, 2.5, 2.4, 2.3, 2.2, 2.1, 2.0):
        scheduler.step(value)
        found.append(optimizer.param_groups[0]["lr"])
    # One validation without a gain is waited for, the second lowers; never below the minimum.
    assert found == [2, 2, 2, 1, 1, 0.6, 0.6, 0.6]
