"""From a sweep's overrides to runs in a pool, for Hydra's launchers and for a search's."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from itertools import count
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict

from unrolled.config.compose import run_config
from unrolled.errors import ConfigError
from unrolled.sweeps.pools.pool import ENDED, Pool, Task, drive, require_fraction
from unrolled.training.run import Outcome

# By the last part of a launcher's `_target_`.
POOLS = {
    "LocalLauncher": "unrolled.sweeps.pools.local.LocalPool",
    "RayLauncher": "unrolled.sweeps.pools.ray.RayPool",
    "SubmititLauncher": "unrolled.sweeps.pools.submitit.SubmititPool",
}


__all__ = ["compose", "is_ours", "launch", "make_pool", "require_fraction", "require_launcher"]


def launch(
    context: HydraContext,
    config: DictConfig,
    job_overrides: Sequence[Sequence[str]],
    initial_job_idx: int,
) -> list[JobReturn]:
    """Make the runs of a grid.

    Args:
        config: of the sweep, with Hydra's own part, which says where to run.

    Returns:
        For each job, in order, a return value that is an ``Outcome``, whatever became of it.
    """
    # All at once, so that what is edited during the sweep changes nothing of it.
    tasks = list(compose(context, config, job_overrides, initial_job_idx))
    outcomes: dict[int, Outcome] = {}

    def ended(task: Task, outcome: Outcome) -> None:
        outcomes[task.number] = outcome

    pool = make_pool(config, len(tasks))
    drive(pool, tasks, ended, fail_fast=config.fail_fast)
    kept = Outcome("interrupted", None, ENDED)
    return [returned(task, outcomes.get(task.number, kept)) for task in tasks]


def compose(
    context: HydraContext,
    config: DictConfig,
    job_overrides: Iterable[Sequence[str]],
    first: int = 0,
) -> Iterator[Task]:
    """The tasks of a sweep, each composed when it is asked for."""
    for number, overrides in zip(count(first), job_overrides, strict=False):
        composed = context.config_loader.load_sweep_config(config, list(overrides))
        with open_dict(composed):
            composed.hydra.job.id = str(number)
            composed.hydra.job.num = number
        yield Task(number, run_config(composed), list(overrides), composed)


def returned(task: Task, outcome: Outcome) -> JobReturn:
    """What Hydra wants of a job."""
    overrides = list(task.composed.hydra.overrides.task)
    result = JobReturn(overrides=overrides, cfg=task.config, hydra_cfg=task.composed)
    result.status, result.return_value = JobStatus.COMPLETED, outcome
    return result


def is_ours(launcher: DictConfig) -> bool:
    """Whether a launcher is one of ours, which start a run as soon as there is a place for it."""
    return _name(launcher) in POOLS


def make_pool(config: DictConfig, jobs: int | None) -> Pool:
    """The pool that ``hydra.launcher`` describes.

    Args:
        config: of the sweep, with Hydra's own part.
        jobs: how many runs there will be at most; None where that is open.

    Raises:
        ConfigError, DeviceError: it cannot be had here.
    """
    pool: Callable[[DictConfig, Mapping[str, Any], int | None], Pool] = _pool(
        config.hydra.launcher
    )
    return pool(config, _options(config.hydra.launcher), jobs)


def require_launcher(launcher: DictConfig, config: DictConfig) -> None:
    """Refuse a launcher that cannot work here, before any data is read.

    Args:
        launcher: ``hydra.launcher``.
        config: of a run.

    Raises:
        ConfigError, DeviceError: which option, and the way out.
    """
    if is_ours(launcher):
        _pool(launcher).require(config, _options(launcher))
    elif config.fail_fast:
        raise ConfigError(
            "fail_fast=true: only hydra/launcher=local, ray and submitit_… end a sweep at its "
            "first failure"
        )


def _pool(launcher: DictConfig) -> Any:
    module, _, name = POOLS[_name(launcher)].rpartition(".")
    return getattr(import_module(module), name)


def _options(launcher: DictConfig) -> dict[str, Any]:
    options = OmegaConf.to_container(launcher, resolve=True)
    assert isinstance(options, dict)
    return {str(key): value for key, value in options.items() if key != "_target_"}


def _name(launcher: DictConfig) -> str:
    return str(launcher._target_).rpartition(".")[2]
