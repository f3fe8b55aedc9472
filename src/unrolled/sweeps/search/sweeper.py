"""Hydra's sweeper for a search: asks for trials, has them run, tells how they ended."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext
from omegaconf import DictConfig

from unrolled.config.compose import run_config
from unrolled.errors import ConfigError
from unrolled.sweeps.launching import compose, is_ours, make_pool, returned
from unrolled.sweeps.pools.local import available_cores
from unrolled.sweeps.pools.pool import Task, drive
from unrolled.sweeps.search.space import search_space, written
from unrolled.sweeps.search.study import Options, Search
from unrolled.training.run import Outcome


def sweep(
    context: HydraContext, config: DictConfig, launcher: Launcher, arguments: Sequence[str]
) -> list[list[JobReturn]]:
    """Make the trials of a search.

    Args:
        config: of the sweep, with Hydra's own part.
        arguments: overrides, as typed.

    Returns:
        What Hydra's own sweeper returns: for one batch, each job's return value, an ``Outcome``.

    Raises:
        ConfigError: the search cannot be begun.
    """
    stored = config.hydra.sweeper.params or {}
    parser = OverridesParser.create(config_loader=context.config_loader)
    typed = parser.parse_overrides([*(f"{k}={v}" for k, v in stored.items()), *arguments])
    # Of two values for a key, the one on the command line, which comes later.
    overrides = list({override.get_key_element(): override for override in typed}.values())
    space = search_space(overrides, config)
    if not space:
        raise ConfigError(
            "a search needs something to vary, such as "
            "'optimizer.lr=tag(log, interval(1e-4, 1e-1))'"
        )
    fixed = [str(o.input_line) for o in overrides if not o.is_sweep_override()]
    first = [f"{key}={_any(distribution)}" for key, distribution in space.items()]
    composed = context.config_loader.load_sweep_config(config, [*fixed, *first])
    run = run_config(composed)
    options = Options.of(config.hydra.sweeper, run)
    search = Search(options, run, space)
    returns: list[JobReturn] = []

    def ended(task: Task, outcome: Outcome) -> None:
        search.tell(task.number, outcome)
        returns.append(returned(task, outcome))

    def following() -> Task | None:
        trial = search.next_trial()
        if trial is None:
            return None
        chosen = [*fixed, *written(trial.params)]
        chosen += [f"trial.storage='{options.storage}'", f"trial.search='{run.study}'"]
        return next(
            compose(context, config, [[*chosen, f"trial.number={trial.number}"]], trial.number)
        )

    with search.working():
        source = _Tasks(following)
        if is_ours(config.hydra.launcher):
            pool = make_pool(config, options.n_trials)
            # The next trial is to know of the last ones' results.
            pool.capacity = pool.capacity or config.workers or available_cores()
            drive(pool, source, ended, fail_fast=config.fail_fast)
        else:
            for batch in _batches(source, config.workers or 1):
                jobs = [task.overrides for task in batch]
                done = launcher.launch(jobs, initial_job_idx=batch[0].number)
                for task, result in zip(batch, done, strict=True):
                    ended(task, result.return_value)
    return [returns]


class _Tasks(Iterator[Task]):
    """Tasks as they come: there may be none for now, and another one later."""

    def __init__(self, task: Callable[[], Task | None]) -> None:
        self.task = task

    def __next__(self) -> Task:
        task = self.task()
        if task is None:
            raise StopIteration
        return task


def _batches(tasks: Iterator[Task], size: int) -> Iterator[list[Task]]:
    while batch := list(islice(tasks, size)):
        yield batch


def _any(distribution: Any) -> Any:
    """Some value of a distribution."""
    choices = getattr(distribution, "choices", None)
    return choices[0] if choices else distribution.low
