"""The pool that ``hydra.launcher`` describes, and what our launchers do for sweepers of others."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict

from unrolled.config.compose import run_config
from unrolled.config.groups import ConfigGroups
from unrolled.errors import ConfigError
from unrolled.runs.spec import RunSpec
from unrolled.sweeps.expansion import Plan
from unrolled.sweeps.pools.hydra import HydraPool
from unrolled.sweeps.pools.pool import ENDED, Pool, drive
from unrolled.training.run import Outcome, specify
from unrolled.training.threads import available_cores

# By a launcher's `_target_`; packages of others have a LocalLauncher, too.
POOLS = {
    "hydra_plugins.unrolled_plugins.LocalLauncher": "unrolled.sweeps.pools.local.LocalPool",
    "hydra_plugins.unrolled_plugins.RayLauncher": "unrolled.sweeps.pools.ray.RayPool",
    "hydra_plugins.unrolled_plugins.SubmititLauncher": (
        "unrolled.sweeps.pools.submitit.SubmititPool"
    ),
}


def is_ours(launcher: DictConfig) -> bool:
    """Whether a launcher is one of ours, which start a run as soon as there is a place for it."""
    return launcher._target_ in POOLS


def make_pool(launcher: DictConfig, config: DictConfig, runs: int | None) -> Pool:
    """The pool that a launcher of ours describes.

    Args:
        launcher: ``hydra.launcher``.
        config: of a run.
        runs: how many there will be at most; None where that is open.

    Raises:
        ConfigError, DeviceError: it cannot be had here.
    """
    pool: Callable[..., Pool] = _pool(launcher)
    return pool(config, _options(launcher), runs)


def make_pool_of_few(
    plan: Plan, groups: ConfigGroups, lines: Mapping[RunSpec, Sequence[str]], runs: int
) -> Pool:
    """The pool of any launcher for runs that follow from the results of others, and so are handed
    over no earlier than there is a place for them.

    Args:
        groups: to compose on, for launchers that are not ours.
        lines: all overrides of each run, for the same.
        runs: how many there will be at most.

    Raises:
        ConfigError, DeviceError: it cannot be had here.
    """
    config = plan.configs[0]
    if not is_ours(plan.hydra.launcher):
        return HydraPool(groups, plan.typed, lines, config.workers or 1)
    pool = make_pool(plan.hydra.launcher, config, runs)
    pool.capacity = pool.capacity or config.workers or available_cores()
    return pool


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


def launch(
    context: HydraContext,
    config: DictConfig,
    run_overrides: Sequence[Sequence[str]],
    first_number: int,
) -> list[JobReturn]:
    """Make runs for a sweeper that is not ours, as Hydra has it.

    Args:
        config: of the sweep, with Hydra's own part.

    Returns:
        For each run, in order, a return value that is an ``Outcome``, whatever became of it.
    """
    composed: list[DictConfig] = []
    specs: list[RunSpec] = []
    for number, overrides in enumerate(run_overrides, first_number):
        one = context.config_loader.load_sweep_config(config, list(overrides))
        with open_dict(one):
            one.hydra.job.id, one.hydra.job.num = str(number), number
        composed.append(one)
        specs.append(specify(run_config(one)))
    outcomes: dict[RunSpec, Outcome] = {}
    pool = make_pool(config.hydra.launcher, specs[0].config, len(specs))
    drive(pool, specs, outcomes.__setitem__, fail_fast=config.fail_fast)
    kept = Outcome("interrupted", None, ENDED)
    return [
        JobReturn(
            overrides=list(one.hydra.overrides.task),
            cfg=spec.config,
            hydra_cfg=one,
            status=JobStatus.COMPLETED,
            _return_value=outcomes.get(spec, kept),
        )
        for one, spec in zip(composed, specs, strict=True)
    ]


def _pool(launcher: DictConfig) -> Any:
    module, _, name = POOLS[launcher._target_].rpartition(".")
    return getattr(import_module(module), name)


def _options(launcher: DictConfig) -> dict[str, Any]:
    options = OmegaConf.to_container(launcher, resolve=True)
    assert isinstance(options, dict)
    return {str(key): value for key, value in options.items() if key != "_target_"}
