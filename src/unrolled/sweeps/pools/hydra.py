"""The runs of a sweep through a launcher of others, such as Hydra's ``basic`` and ``joblib``."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from hydra._internal.callbacks import Callbacks
from hydra.core.plugins import Plugins
from hydra.errors import InstantiationException
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig

from unrolled.config.compose import PRIMARY
from unrolled.config.groups import ConfigGroups
from unrolled.errors import ConfigError
from unrolled.runs.spec import RunSpec
from unrolled.sweeps.pools.pool import Pool
from unrolled.sweeps.worker import work_on_config
from unrolled.training.run import Outcome


@contextmanager
def makeable(group: str) -> Iterator[None]:
    """One sentence for a launcher or sweeper of others that Hydra cannot make.

    Args:
        group: what chose it.

    Raises:
        ConfigError: as a rule for lack of a package that it needs, or of an older version of it.
    """
    try:
        yield
    except InstantiationException as error:
        said = str(error).partition(", set env var")[0].splitlines()[0]
        raise ConfigError(
            f"{group}: it cannot be made: {said}; what its package needs is not installed, or in "
            "another version"
        ) from error


class HydraPool(Pool):
    """One batch of runs at a time: such a launcher returns when all that it was given have ended.

    Args:
        groups: to compose on, as long as the pool is used.
        typed: the overrides of the command line.
        lines: all overrides of each run, which the launcher composes again; read when it begins.
        capacity: how many runs a batch has; None: all.
    """

    def __init__(
        self,
        groups: ConfigGroups,
        typed: Sequence[str],
        lines: Mapping[RunSpec, Sequence[str]],
        capacity: int | None,
    ) -> None:
        self.capacity = capacity
        self.lines = lines
        self.batch: list[RunSpec] = []
        self.number = 0
        loader = groups.hydra.config_loader
        with makeable("hydra/launcher"):
            self.launcher = Plugins.instance().instantiate_launcher(
                hydra_context=HydraContext(loader, Callbacks()),
                task_function=work_on_config,
                config=groups.hydra.compose_config(PRIMARY, list(typed), RunMode.MULTIRUN),
            )

    @classmethod
    def require(cls, config: DictConfig, options: Mapping[str, Any]) -> None:
        """Such a launcher checks its options itself."""

    def submit(self, spec: RunSpec) -> None:
        self.batch.append(spec)

    def wait(self) -> list[tuple[RunSpec, Outcome]]:
        specs, self.batch = self.batch, []
        lines = [self.lines[spec] for spec in specs]
        results = self.launcher.launch(lines, initial_job_idx=self.number)
        self.number += len(specs)
        return [(spec, result.return_value) for spec, result in zip(specs, results, strict=True)]

    def stop(self, *, notified: bool = False) -> None:
        self.batch.clear()
