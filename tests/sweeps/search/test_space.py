"""Hydra's syntax for what varies, as Optuna's distributions."""

from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from unrolled.config.compose import compose_run
from unrolled.config.groups import config_groups
from unrolled.errors import ConfigError
from unrolled.sweeps.search.space import grid_of, search_space, written


def space(*overrides: str) -> dict[str, Any]:
    config = compose_run()
    with config_groups() as groups:
        return search_space(groups.parse(overrides), config)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("optimizer.lr=interval(0.1, 0.5)", FloatDistribution(0.1, 0.5)),
        ("optimizer.lr=tag(log, interval(1e-4, 1e-1))", FloatDistribution(1e-4, 1e-1, log=True)),
        ("model.layers=interval(1, 3)", IntDistribution(1, 3)),
        ("model.layers=int(interval(1.0, 3.0))", IntDistribution(1, 3)),
        ("model.layers=range(1, 8, 3)", IntDistribution(1, 7, step=3)),
        ("model.dropout=range(0.0, 0.5, 0.2)", FloatDistribution(0.0, 0.4, step=0.2)),
        ("cell=gru,lstm", CategoricalDistribution(["gru", "lstm"])),
        ("model.layers=choice(1,2)", CategoricalDistribution(["1", "2"])),
    ],
)
def test_what_a_key_may_be(override: str, expected: Any) -> None:
    assert space(override, "seed=3") == {override.partition("=")[0]: expected}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimizer.lr=interval(0.5, 0.1)", "from its lower to its upper end"),
        ("optimizer.lr=tag(log, interval(0, 1))", "begins above 0"),
    ],
)
def test_an_interval_that_cannot_be(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        space(override)


def test_a_grid_has_every_value_and_no_interval() -> None:
    grid = grid_of(space("cell=gru,lstm", "model.layers=range(1,4)"))
    assert grid == {"cell": ["gru", "lstm"], "model.layers": [1, 2, 3]}
    with pytest.raises(ConfigError, match=r"optimizer\.lr: a grid takes lists"):
        grid_of(space("optimizer.lr=interval(0.1, 0.2)"))


def test_a_trial_is_written_as_typed() -> None:
    assert written({"cell": "gru", "optimizer.lr": 1e-05}) == ["cell=gru", "optimizer.lr=1e-05"]
