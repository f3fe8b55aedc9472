"""What Hydra finds of Unrolled: Hydra accepts plugins only from below the package
``hydra_plugins``.

The search of ``hydra_plugins`` happens at each start of any Hydra program, so this imports nothing
heavy and changes nothing by being found.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.object_type import ObjectType
from hydra.core.utils import JobReturn
from hydra.plugins.config_source import ConfigLoadError, ConfigResult, ConfigSource
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from unrolled.config.locations import experiments_directory


class PoolLauncher(Launcher):
    """The runs of a sweep in a pool of ours, which one run's crash does not end.

    ``unrolled train`` reads its options from the configuration and asks the pool directly; it is
    called by sweepers that are not ours.
    """

    def __init__(self, **options: Any) -> None:
        self.config: DictConfig | None = None
        self.context: HydraContext | None = None

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        # The task function is what the processes of our pools do anyway.
        self.context, self.config = hydra_context, config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        from unrolled.sweeps.launching import launch

        assert self.context is not None
        assert self.config is not None
        return launch(self.context, self.config, job_overrides, initial_job_idx)


class LocalLauncher(PoolLauncher):
    """On this machine: warm processes, one thread a run, or a GPU, or a share of one."""


class RayLauncher(PoolLauncher):
    """On Ray: a laptop's own, or a running cluster."""


class SubmititLauncher(PoolLauncher):
    """Through submitit: on Slurm, or as processes of this machine."""


@dataclass
class LocalLauncherConf:
    """The options of ``hydra/launcher=local``; ``conf/hydra/launcher`` says what they mean."""

    _target_: str = "hydra_plugins.unrolled_plugins.LocalLauncher"
    gpus_per_run: float | None = None
    devices: list[str] | None = None


@dataclass
class RayLauncherConf:
    """The options of ``hydra/launcher=ray``."""

    _target_: str = "hydra_plugins.unrolled_plugins.RayLauncher"
    address: str | None = None
    cpus_per_run: float = 1.0
    gpus_per_run: float | None = None
    num_cpus: int | None = None
    num_gpus: int | None = None
    retries: int = 3
    runtime_env: dict[str, Any] | None = None


@dataclass
class SubmititLauncherConf:
    """The options of ``hydra/launcher=submitit_slurm`` and ``submitit_local``."""

    _target_: str = "hydra_plugins.unrolled_plugins.SubmititLauncher"
    cluster: str = "slurm"
    cpus_per_run: int = 1
    gpus_per_run: int | None = None
    memory_gb: float | None = None
    timeout_minutes: int = 240
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    array_parallelism: int | None = None
    setup: list[str] | None = None
    additional: dict[str, Any] | None = None
    folder: str | None = None


store = ConfigStore.instance()
store.store(group="hydra/launcher", name="schema_local", node=LocalLauncherConf)
store.store(group="hydra/launcher", name="schema_ray", node=RayLauncherConf)
store.store(group="hydra/launcher", name="schema_submitit", node=SubmititLauncherConf)


class OptunaSweeper:
    """What ``hydra.sweeper`` names for a search, which ``unrolled train`` makes by itself."""


class Sampler(Enum):
    """How the next trial is chosen."""

    tpe = "tpe"
    random = "random"
    grid = "grid"
    nsgaii = "nsgaii"


class Pruner(Enum):
    """How a trial is given up that does worse than others at the same step."""

    none = "none"
    median = "median"
    successive_halving = "successive_halving"
    hyperband = "hyperband"


@dataclass
class OptunaSweeperConf:
    """The options of ``hydra/sweeper=optuna``; ``conf/hydra/sweeper`` says what they mean."""

    _target_: str = "hydra_plugins.unrolled_plugins.OptunaSweeper"
    n_trials: int = 20
    sampler: Sampler = Sampler.tpe
    pruner: Pruner = Pruner.none
    objectives: list[str] | None = None
    storage: str | None = None
    seed: int = 1
    startup_trials: int = 10
    reduction_factor: int = 3
    params: dict[str, str] | None = None


store.store(group="hydra/sweeper", name="schema_optuna", node=OptunaSweeperConf)


class FairSweeper:
    """What ``hydra.sweeper`` names for a fair study, which ``unrolled train`` makes by itself."""


class Draws(Enum):
    """How a fair study's search chooses what to try."""

    quasi_random = "quasi_random"
    random = "random"
    grid = "grid"


@dataclass
class FairSweeperConf:
    """The options of ``hydra/sweeper=fair``; ``conf/hydra/sweeper`` says what they mean."""

    _target_: str = "hydra_plugins.unrolled_plugins.FairSweeper"
    compare: list[str] = field(default_factory=lambda: ["cell"])
    n_trials: int = 8
    sampler: Draws = Draws.quasi_random
    give_up_at: list[float] = field(default_factory=lambda: [0.25, 0.5])
    keep: float = 0.5
    search_seed: int = 0
    seed: int = 1
    objective: str | None = None
    own: list[str] = field(default_factory=list)
    params: dict[str, str] | None = None


store.store(group="hydra/sweeper", name="schema_fair", node=FairSweeperConf)


class ExperimentsSource(ConfigSource):
    """The folders of ``experiments/`` as the config group ``experiment``.

    ``experiment=NAME`` reads ``experiments/NAME/config.yaml``, so that a study's configuration
    stays in one folder with its results.
    """

    @staticmethod
    def scheme() -> str:
        return "experiments"

    def load_config(self, config_path: str) -> ConfigResult:
        if not self.is_config(config_path):
            raise ConfigLoadError(f"no such experiment: {config_path}")
        path = experiments_directory() / self._experiment(config_path) / "config.yaml"
        header = ConfigSource._get_header_dict(path.read_text(encoding="utf-8")[:512])
        location = f"{self.scheme()}://"
        return ConfigResult(
            config=OmegaConf.load(path), path=location, provider=self.provider, header=header
        )

    def available(self) -> bool:
        return experiments_directory().is_dir()

    def is_group(self, config_path: str) -> bool:
        return config_path in ("", "experiment")

    def is_config(self, config_path: str) -> bool:
        name = self._experiment(config_path)
        return bool(name) and (experiments_directory() / name / "config.yaml").is_file()

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        if config_path == "":
            return [] if results_filter == ObjectType.CONFIG else ["experiment"]
        if config_path != "experiment" or results_filter == ObjectType.GROUP:
            return []
        return sorted(path.parent.name for path in experiments_directory().glob("*/config.yaml"))

    @staticmethod
    def _experiment(config_path: str) -> str:
        group, _, name = config_path.partition("/")
        return name.removesuffix(".yaml") if group == "experiment" else ""
