"""Launchers and sweepers of others, such as Hydra's plug-ins for Optuna and submitit: beside ours
of the same name, and working."""

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, ClassVar

import pytest
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from unrolled.config.groups import config_groups
from unrolled.runs.record import find_runs, read_record
from unrolled.sweeps.expansion import plan
from unrolled.sweeps.launching import is_ours
from unrolled.training.run import Outcome

Command = Callable[..., CompletedProcess[str]]
STORED = (
    ("hydra/sweeper", "optuna"),
    ("hydra/launcher", "submitit_local"),
    ("hydra/launcher", "elsewhere"),
)


# Hydra makes plug-ins of this package alone.
PACKAGE = "hydra_plugins.others"


class OptunaSweeper(Sweeper):
    """Tries two values, and takes what a run returns for its objective, as searches do."""

    __module__ = PACKAGE
    objectives: ClassVar[list[float]] = []

    def __init__(self, **options: Any) -> None:
        self.config: DictConfig | None = None
        self.launcher: Launcher | None = None

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        assert self.launcher is not None
        fixed = [one for one in arguments if "interval" not in one]
        for number, rate in enumerate((0.01, 0.02)):
            (result,) = self.launcher.launch([[*fixed, f"optimizer.lr={rate}"]], number)
            self.objectives.append(float(result.return_value))


class LocalLauncher(Launcher):
    """Has a name that one of ours has, too."""

    __module__ = PACKAGE

    def setup(self, **options: Any) -> None:
        pass

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[Any]:
        raise NotImplementedError


@dataclass
class SweeperConf:
    _target_: str = f"{PACKAGE}.OptunaSweeper"
    # With a defaults list Hydra takes it for no schema at all.
    defaults: list[Any] = field(default_factory=list)


@dataclass
class LauncherConf:
    _target_: str = f"{PACKAGE}.LocalLauncher"
    n_jobs: int = 2


@dataclass
class AbsentConf:
    _target_: str = f"{PACKAGE}.LocalLauncher"
    needs: Any = field(default_factory=lambda: {"_target_": "absent_package.Pool"})


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(sys.modules, PACKAGE, sys.modules[__name__])
    plugins, store = Plugins.instance(), ConfigStore.instance()
    for plugin in (OptunaSweeper, LocalLauncher):
        plugins.register(plugin)
    nodes = (SweeperConf, LauncherConf, AbsentConf)
    for (group, name), node in zip(STORED, nodes, strict=True):
        store.store(group=group, name=name, node=node, provider="theirs")
    yield
    for group, name in STORED:
        stored: dict[str, Any] = store.repo
        for part in group.split("/"):
            stored = stored[part]
        del stored[f"{name}.yaml"]
    OptunaSweeper.objectives.clear()


def test_ours_keep_their_names_and_theirs_are_called_after_hydra() -> None:
    before = dict(ConfigStore.instance().repo["hydra"]["sweeper"])
    ours = plan(["hydra/sweeper=optuna", "hydra/launcher=submitit_local"], multirun=True)
    assert ours.is_search
    assert is_ours(ours.hydra.launcher)
    theirs = plan(
        ["hydra/sweeper=hydra_optuna", "hydra/launcher=hydra_submitit_local"], multirun=True
    )
    assert not theirs.is_search
    assert not theirs.is_grid
    assert not is_ours(theirs.hydra.launcher)
    assert theirs.hydra.launcher.n_jobs == 2
    # Other programs of this process find what they registered.
    assert ConfigStore.instance().repo["hydra"]["sweeper"] == before
    with config_groups() as groups:
        assert {"optuna", "hydra_optuna"} <= {*groups.options("hydra/sweeper")}


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "local"])
def test_a_search_of_others_gets_an_objective_and_its_runs_are_counted(
    launcher: str, overrides: Callable[..., list[str]], command: Command
) -> None:
    search = overrides(
        "hydra/sweeper=hydra_optuna", f"hydra/launcher={launcher}", "trainer.max_steps=4",
        "trainer.validate_every_steps=2", "optimizer.lr=interval(0.01,0.02)", "study=s",
    )  # fmt: skip
    shown = command("train", "-m", *search).stdout
    assert "2 finished, 0 skipped, 0 failed" in shown
    records = [read_record(folder) for folder in find_runs(Path("outputs/s"))]
    losses = [record.metrics["validation/loss"] for record in records]
    assert sorted(OptunaSweeper.objectives) == sorted(losses)
    assert "0 finished, 2 skipped" in command("train", "-m", *search).stdout
    assert "does not say" in command("train", "-m", *search, "--dry-run", code=2).stderr


def test_a_run_that_did_not_finish_has_no_objective() -> None:
    assert math.isnan(float(Outcome("failed", Path("absent"))))
    assert math.isnan(float(Outcome("interrupted", None)))


@pytest.mark.slow
def test_a_launcher_that_lacks_its_package_is_one_sentence(
    overrides: Callable[..., list[str]], command: Command
) -> None:
    said = command(
        "train", "-m", "hydra/launcher=elsewhere", *overrides("seed=1,2"), code=2
    ).stderr
    assert said.startswith("unrolled: hydra/launcher: it cannot be made: Error locating target")
    assert "absent_package" in said
    assert said.count("\n") == 1
