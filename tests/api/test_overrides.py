"""Python values as overrides: what is given is what the configuration has."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import unrolled
from unrolled.api.overrides import override_lines
from unrolled.errors import ConfigError
from unrolled.sweeps.expansion import plan

CELL = """
from unrolled.cells.rnn_tanh import RnnTanh

class Mine(RnnTanh):
    def __init__(self, input_size: int, hidden_size: int, leak: float = 0.5) -> None:
        super().__init__(input_size, hidden_size)
"""


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", 7),
        ("seed", np.int64(7)),
        ("optimizer.lr", 1e-05),
        ("optimizer.lr", np.float64(0.25)),
        ("optimizer.betas", [0.8, 0.9]),
        ("trainer.deterministic", True),
        ("trainer.threads", None),
        ("study", "null"),
        ("study", "2024"),
        ("study", "two words, 'quoted' and \\ more={x}"),
        ("study", "\\'\\\\'a\\\\b\\"),
        ("paths.outputs", Path("some folder/ätz")),
    ],
)
def test_a_value_arrives_as_it_is(key: str, value: Any) -> None:
    group, _, name = key.rpartition(".")
    for config in (
        unrolled.compose({key: value}),
        unrolled.compose(**({group: {name: value}} if group else {key: value})),
    ):
        found = (config[group] if group else config)[name]
        assert found == (str(value) if isinstance(value, Path) else value)


def test_lines_lists_mappings_and_keywords_add_up() -> None:
    config = unrolled.compose(
        "cell=gru", ["seed=3", "model.layers=2"], {"optimizer": "sgd"}, dataset="sentence"
    )
    assert (config.cell.name, config.seed, config.model.layers) == ("gru", 3, 2)
    assert (config.optimizer.name, config.dataset.name) == ("sgd", "sentence")


def test_a_list_is_several_values_of_a_sweep_and_one_of_a_run() -> None:
    given: dict[str, Any] = {"optimizer.betas": [0.8, 0.9]}
    assert override_lines([given], {}, swept=False) == ["optimizer.betas=[0.8,0.9]"]
    given = {"optimizer.betas": [[0.8, 0.9], [0.7, 0.9]], "seed": range(3), "cell": ["gru"]}
    lines = override_lines([given], {}, swept=True)
    assert lines == ["optimizer.betas=[0.8,0.9],[0.7,0.9]", "seed=0,1,2", "cell=gru"]
    planned = plan(lines, multirun=True)
    assert planned.jobs == 6
    assert [list(config.optimizer.betas) for config in planned.configs[::3]] == [
        [0.8, 0.9],
        [0.7, 0.9],
    ]


def test_a_class_of_ones_own_is_named_by_its_module(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("mine_cells.py").write_text(CELL)
    monkeypatch.syspath_prepend(str(Path.cwd()))
    import mine_cells  # type: ignore[import-not-found]

    config = unrolled.compose(cell={"_target_": mine_cells.Mine, "leak": 0.25})
    assert (config.cell.name, config.cell._target_) == ("Mine", "mine_cells.Mine")
    assert config.cell.leak == 0.25
    assert unrolled.compose(cell=mine_cells.Mine).cell._target_ == "mine_cells.Mine"
    lines = override_lines([], {"cell": [mine_cells.Mine, mine_cells.RnnTanh]}, swept=True)
    assert lines == ["cell._target_=mine_cells.Mine,unrolled.cells.rnn_tanh.RnnTanh"]
    monkeypatch.setattr(mine_cells.Mine, "__module__", "__main__")
    with pytest.raises(ConfigError, match="defined in the notebook or script itself"):
        unrolled.compose(cell=mine_cells.Mine)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((3,), "3: an override is a text such as 'cell=gru'"),
        (({"cell": object()},), "cell: object is nothing that a configuration can hold"),
        (({"cell": lambda: 0},), "cell: .*lambda.* has no name that it can be imported by"),
        (({"seed": []},), "seed: an empty list"),
        (({"cell": ["gru", dict]},), "cell: classes and names together"),
    ],
)
def test_what_no_configuration_can_hold_is_said(given: tuple[Any, ...], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        override_lines(given, {}, swept=True)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["seed=1,2"], r"seed=1,2: several values make a sweep; .*unrolled\.sweep in Python"),
        (["experiment=hello_world"], "they stand for several runs .*; unrolled.sweep makes them"),
        (["validation=kfold", "folds=3"], "unrolled.sweep makes them"),
        (["cel=gru"], "cel: no such key; did you mean cell"),
    ],
)
def test_a_run_that_is_several_or_none_is_refused(overrides: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        unrolled.compose(overrides)


def test_a_composed_configuration_is_checked_again() -> None:
    config = unrolled.compose("cell=gru")
    config.seed = -1
    with pytest.raises(ConfigError, match="seed=-1: must be at least 0"):
        unrolled.compose(config)
    config.seed = 5
    changed = unrolled.compose(config, seed=4, model={"layers": 2})
    assert (changed.seed, changed.model.layers, changed.cell.name) == (4, 2, "gru")
    with pytest.raises(ConfigError, match="a composed configuration comes first"):
        unrolled.compose("seed=1", config)
    assert "mine_cells" not in sys.modules
