"""What a run needs before anything heavy: its task, its data."""

from collections.abc import Iterable

from omegaconf import DictConfig

from unrolled.config.build import EVERYTHING
from unrolled.runs.task import TaskDescription
from unrolled.tasks import build
from unrolled.tasks.task import Data


def prepare_data(config: DictConfig, trusted: Iterable[str] = EVERYTHING) -> Data:
    """Read or generate what the configuration's task is about.

    Raises:
        DataError: the data cannot be used; the message says which and why.
    """
    return build.prepare(config, trusted)


def describe_task(config: DictConfig) -> TaskDescription:
    """The task of a run, as far as its configuration alone tells: without baselines."""
    return build.build_task(config.task, EVERYTHING).describe()


def check_run(config: DictConfig) -> None:
    """Refuse what no run could do, as far as its configuration alone tells.

    Raises:
        ConfigError: the task, the metric that it monitors, or its kind of data.
    """
    build.check_task(config)
