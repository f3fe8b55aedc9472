"""The runs that a command line asks for, and what is refused before any begins."""

from pathlib import Path

import pytest
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from unrolled.config.compose import PRIMARY, run_config
from unrolled.config.groups import config_groups
from unrolled.errors import ConfigError
from unrolled.runs.identity import plain
from unrolled.sweeps.expansion import plan

CELLS = """
class A:
    def __init__(self, input_size: int, hidden_size: int, leak: float = 0.5): ...

class B(A): ...
"""


@pytest.fixture(autouse=True)
def _own_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("my_cells.py").write_text(CELLS)
    monkeypatch.syspath_prepend(str(Path.cwd()))


def by_hydra(overrides: list[str]) -> list[DictConfig]:
    """What Hydra's own sweeper would compose."""
    with config_groups() as groups:
        config = groups.hydra.compose_config(PRIMARY, overrides, RunMode.MULTIRUN)
        stored = [f"{k}={v}" for k, v in (config.hydra.sweeper.params or {}).items()]
        (batch,) = BasicSweeper.split_arguments(groups.parse([*stored, *overrides]), None)
        loader = groups.hydra.config_loader
        return [plain(run_config(loader.load_sweep_config(config, list(one)))) for one in batch]


@pytest.mark.parametrize(
    "overrides",
    [
        ["cell=lstm,gru", "seed=1,2", "optimizer=adam,sgd"],
        ["seed=range(1,4)", "optimizer.lr=choice(0.1,1e-3)", "task.sample.prompt='a b','c'"],
        ["cell._target_=my_cells.A,my_cells.B", "+cell.leak=0.5,0.9", "model.layers=2"],
        ["experiment=rnnlm", "trainer.max_steps=7,8", "seed=1"],
        ["model.output_dropout=${model.dropout}", "model.dropout=0.1,0.2", "workers=null,2"],
        ["optimizer.betas=[0.8,0.9],[0.9,0.99]", "optimizer=adam", "scheduler=step,plateau"],
    ],
)
def test_the_runs_are_those_of_hydra_s_own_sweeper(overrides: list[str]) -> None:
    planned = plan(overrides, multirun=True)
    expected = by_hydra(planned.typed)
    assert planned.jobs == len(expected)
    for config in planned.configs:
        # Ours are named by what varies as well.
        config.name_by = ["cell.name", "seed"]
    assert planned.configs == expected


def test_a_launcher_that_composes_runs_again_comes_to_the_same() -> None:
    planned = plan(["cell=lstm,gru", "optimizer.lr=0.1,0.2"], multirun=True)
    for lines, config in zip(planned.overrides, planned.configs, strict=True):
        (again,) = plan(lines).configs
        assert again == config


def test_values_that_are_wrong_together_are_refused_before_any_run() -> None:
    with pytest.raises(ConfigError, match=r"model\.residual=true: needs model\.layers of 2"):
        plan(["model.layers=2,1", "model.residual=false,true"], multirun=True)


def test_a_sweep_has_one_launcher() -> None:
    with pytest.raises(ConfigError, match=r"gpus_per_run=1,2: a sweep has one value"):
        plan(["hydra.launcher.gpus_per_run=1,2"], multirun=True)


@pytest.mark.parametrize(
    ("choice", "key", "typed", "value"),
    [
        ("hydra/sweeper=optuna", "hydra.sweeper.n_trials", "3e1", 30),
        ("hydra/sweeper=fair", "hydra.sweeper.n_trials", "1.6e1", 16),
        ("hydra/launcher=ray", "hydra.launcher.num_cpus", "2e0", 2),
        ("hydra/launcher=submitit_local", "hydra.launcher.timeout_minutes", "1e2", 100),
        # A fraction stays one.
        ("hydra/launcher=local", "hydra.launcher.gpus_per_run", "2e0", 2.0),
    ],
)
def test_a_whole_number_may_be_written_with_an_exponent(
    choice: str, key: str, typed: str, value: float
) -> None:
    planned = plan(
        [choice, f"{key}={typed}", "cell=lstm,gru", "optimizer.lr=0.1,0.2"], multirun=True
    )
    chosen = OmegaConf.select(OmegaConf.create({"hydra": planned.hydra}), key)
    assert (chosen, type(chosen)) == (value, type(value))
    # A launcher of others composes what was typed again.
    by_hydra(planned.typed)


def test_a_number_that_is_not_whole_is_refused_where_one_is_needed() -> None:
    with pytest.raises(ConfigError, match=r"hydra\.sweeper\.n_trials=1\.5: "):
        plan(["hydra/sweeper=optuna", "hydra.sweeper.n_trials=1.5", "seed=1,2"], multirun=True)


def test_every_value_of_a_sweep_is_checked_before_it_begins() -> None:
    with pytest.raises(ConfigError, match="did you mean gru"):
        plan(["cell=lstm,gruu"], multirun=True)
    with pytest.raises(ConfigError, match=r"optimizer\.lr=high"):
        plan(["optimizer.lr=0.1,high"], multirun=True)
    with pytest.raises(ConfigError, match="below 1"):
        plan(["model.dropout=0.1,1.5"], multirun=True)


def test_a_plan_counts_the_jobs_and_names_what_varies() -> None:
    planned = plan(["cell=rnn_tanh,lstm,gru", "seed=1,2", "optimizer.lr=0.1,0.2"], multirun=True)
    assert planned.sweep
    assert planned.jobs == 12
    assert planned.varied == ["optimizer.lr"]
    assert {config.cell.name for config in planned.configs} == {"rnn_tanh", "lstm", "gru"}


def test_a_hyperparameter_of_an_own_cell_can_be_swept() -> None:
    planned = plan(["cell._target_=my_cells.A", "+cell.leak=0.5,0.9"], multirun=True)
    assert [config.cell.leak for config in planned.configs] == [0.5, 0.9]
    assert (planned.jobs, planned.varied) == (2, ["cell.leak"])


def test_an_experiment_brings_its_sweep_and_the_command_line_goes_before_it() -> None:
    planned = plan(["experiment=rnnlm"])
    assert (planned.sweep, planned.jobs) == (True, 9)
    assert planned.configs[0].study == "rnnlm"
    more = plan(["experiment=rnnlm", "seed=1,2,3,4,5", "trainer.max_steps=7"])
    assert more.jobs == 15
    assert all(config.trainer.max_steps == 7 for config in more.configs)


def test_cells_of_ones_own_can_be_swept_by_their_targets() -> None:
    planned = plan(["cell._target_=my_cells.A,my_cells.B", "seed=1,2"], multirun=True)
    assert {config.cell.name for config in planned.configs} == {"A", "B"}
    assert planned.jobs == 4
    assert planned.typed[0] == "cell=custom"
    assert planned.varied == []


def test_a_fair_study_compares_cells_of_ones_own_by_their_targets() -> None:
    lr = "optimizer.lr=tag(log, interval(1e-4, 1e-1))"
    options = ["cell._target_=my_cells.A,my_cells.B", "seed=1,2", lr, "hydra/sweeper=fair"]
    planned = plan([*options, "hydra.sweeper.n_trials=3"], multirun=True)
    assert planned.fair is not None
    assert [each.label for each in planned.fair.conditions] == ["my_cells.A", "my_cells.B"]
    assert planned.jobs == 2 * (3 + 2)
    assert [config.cell.name for config in planned.configs] == ["A"] * 3 + ["B"] * 3


def test_the_cell_of_an_experiment_gives_way_to_ones_own() -> None:
    planned = plan(["experiment=rnnlm", "cell._target_=my_cells.A"])
    assert {config.cell.name for config in planned.configs} == {"A"}
    assert planned.jobs == 3


def test_a_cross_validation_is_a_run_for_each_fold() -> None:
    planned = plan(["cell=rnn_tanh,lstm", "validation=kfold", "folds=3"], multirun=True)
    assert planned.jobs == 6
    assert [(c.cell.name, c.fold) for c in planned.configs[::2]] == [
        ("rnn_tanh", 0),
        ("rnn_tanh", 2),
        ("lstm", 1),
    ]
    assert planned.varied == []
    for lines, config in zip(planned.overrides, planned.configs, strict=True):
        (again,) = plan(lines).configs
        assert again == config


def test_the_folds_of_a_single_configuration_are_a_sweep() -> None:
    planned = plan(["validation=kfold"])
    assert planned.sweep
    assert [config.fold for config in planned.configs] == [0, 1, 2, 3, 4]
    with pytest.raises(ConfigError, match=r"seed=1,2: several values make a sweep; add -m"):
        plan(["validation=kfold", "seed=1,2"])


def test_some_folds_can_be_picked() -> None:
    planned = plan(["validation=kfold", "fold=0,3", "seed=1,2"], multirun=True)
    assert sorted((c.seed, c.fold) for c in planned.configs) == [(1, 0), (1, 3), (2, 0), (2, 3)]
    assert planned.varied == []
    single = plan(["validation=kfold", "fold=3"])
    assert (single.sweep, single.jobs) == (False, 1)


def test_each_number_of_folds_of_a_sweep_has_its_folds() -> None:
    planned = plan(["validation=kfold", "folds=2,3"], multirun=True)
    assert [(c.folds, c.fold) for c in planned.configs] == [(2, 0), (2, 1), (3, 0), (3, 1), (3, 2)]
    assert planned.varied == ["folds"]
    both = plan(["validation=holdout,kfold"], multirun=True)
    assert [config.fold for config in both.configs] == [None, 0, 1, 2, 3, 4]
