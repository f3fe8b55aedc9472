"""What Hydra finds of Unrolled: Hydra accepts plugins only from below the package
``hydra_plugins``.

The search of ``hydra_plugins`` happens at each start of any Hydra program, so this imports nothing
heavy and changes nothing by being found.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hydra.core.config_store import ConfigStore
from hydra.core.object_type import ObjectType
from hydra.core.utils import JobReturn
from hydra.plugins.config_source import ConfigLoadError, ConfigResult, ConfigSource
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from unrolled.config.locations import experiments_directory


@dataclass
class LocalLauncherConf:
    """Choose it with ``hydra/launcher=local``; it is the default of ``unrolled train``."""

    _target_: str = "hydra_plugins.unrolled_plugins.LocalLauncher"


ConfigStore.instance().store(group="hydra/launcher", name="local", node=LocalLauncherConf)


class LocalLauncher(Launcher):
    """The runs of a sweep on this machine: warm processes, one thread a run, one run's crash is
    its own."""

    def __init__(self) -> None:
        self.config: DictConfig | None = None
        self.context: HydraContext | None = None

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        # Every job is unrolled.sweeps.job.job; the task function is that, too.
        self.context, self.config = hydra_context, config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        from unrolled.sweeps.launcher import launch

        assert self.context is not None
        assert self.config is not None
        return launch(self.context, self.config, job_overrides, initial_job_idx)


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
