"""From a configuration to its task and its data, and what no task could do, refused at once."""

import difflib
import inspect
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, get_type_hints

from omegaconf import DictConfig, OmegaConf

from unrolled.cache import default_cache
from unrolled.config.build import EVERYTHING, OURS, arguments_of, target_of
from unrolled.config.hyperparameters import typed_arguments
from unrolled.config.locations import config_directory
from unrolled.data.splits import Fold
from unrolled.errors import ConfigError
from unrolled.runs.task import TaskDescription
from unrolled.tasks.task import Data, Sources, Task


def build_task(node: DictConfig, trusted: Iterable[str] = OURS) -> Task:
    """The task that a ``task`` node describes; nothing is read and no torch is imported.

    Args:
        trusted: prefixes of modules outside this package that the node may name.

    Raises:
        ConfigError: it is no task, lacks a part of the contract, or does not take these options.
    """
    task = target_of(node, trusted)
    where = f"task._target_={node._target_}"
    if not (isinstance(task, type) and issubclass(task, Task)):
        raise ConfigError(f"{where}: not a task; a task is a subclass of unrolled.tasks.task.Task")
    if inspect.isabstract(task):
        lacking = ", ".join(sorted(task.__abstractmethods__))
        raise ConfigError(f"{where}: {task.__name__} lacks {lacking}, see docs/tasks.md")
    for metric in ("loss", task.primary):
        if metric not in task.metrics:
            named = "primary names" if metric == task.primary else "every task has"
            has = ", ".join(task.metrics) or "nothing"
            raise ConfigError(
                f"{where}: {named} the metric {metric or '(none)'}, and {task.__name__}.metrics "
                f"has {has}"
            )
    options = typed_arguments(task, arguments_of(node), "task", given=0)
    return task(**options)


def check_task(config: DictConfig, trusted: Iterable[str] = EVERYTHING) -> Task:
    """The task of a configuration, whose monitored metric and kind of data fit.

    Raises:
        ConfigError: they do not; the message names the nearest metric, or the data sets that fit.
    """
    task = build_task(config.task, trusted)
    known = [f"validation/{name}" for name in task.metrics]
    if task.monitor not in known:
        near = difflib.get_close_matches(task.monitor, known, n=1, cutoff=0.0)[0]
        raise ConfigError(f"task.monitor={task.monitor}: no such metric; did you mean {near}?")
    _require_fitting_data(task, config.dataset, trusted)
    if task.uses_tokenizer not in (None, "_target_" in config.tokenizer):
        why = "reads no text; take tokenizer=none"
        if task.uses_tokenizer:
            why = "reads text by its tokens; choose one, such as tokenizer=char"
        raise ConfigError(f"tokenizer={config.tokenizer.name}: task={task.name} {why}")
    if not task.predicts_tokens and config.head.name != "linear":
        raise ConfigError(
            f"head={config.head.name}: task={task.name} has no tokens to predict, and brings its "
            "own head; take head=linear"
        )
    if config.folds is not None:
        _require_a_fold(task, config)
    return task


def prepare_data(config: DictConfig, trusted: Iterable[str] = EVERYTHING) -> Data:
    """Read or generate the data of a configuration's task; the latest few are kept.

    Raises:
        DataError: the data cannot be used; the message says which and why.
    """
    keys = ("task", "dataset", "tokenizer", "folds", "fold", "validation")
    nodes = OmegaConf.create({key: config[key] for key in keys})
    return _prepare(OmegaConf.to_yaml(nodes, resolve=True), config.paths.cache, tuple(trusted))


def forget_data() -> None:
    """Keep no data: for a process that lasts, in which a file may be another one by now."""
    _prepare.cache_clear()


def describe_task(config: DictConfig) -> TaskDescription:
    """The task of a run, as far as its configuration alone tells: without baselines."""
    return build_task(config.task, EVERYTHING).describe()


@lru_cache(maxsize=2)
def _prepare(nodes: str, cache: str | None, trusted: tuple[str, ...]) -> Data:
    config = OmegaConf.create(nodes)
    assert isinstance(config, DictConfig)
    return build_task(config.task, trusted).prepare(sources(config, cache, trusted))


def sources(config: DictConfig, cache: str | None, trusted: Sequence[str]) -> Sources:
    """Where a configuration's data comes from."""
    folder = Path(cache).expanduser() if cache else default_cache()
    fold = None
    if config.folds is not None:
        fold = Fold(config.fold, config.folds, config.validation.holds_out)
    return Sources(config.dataset, config.tokenizer, folder, trusted, fold)


def _require_a_fold(task: Task, config: DictConfig) -> None:
    """Refuse folds of a task that has none, and a run of no fold in particular."""
    if not task.uses_folds:
        why = (
            "generates its examples, so more of them, or other seeds, tell as much"
            if task.takes is None
            else "takes data that is split already"
        )
        raise ConfigError(f"validation=kfold: task={task.name} {why}; leave validation=kfold out")
    if config.fold is None:
        raise ConfigError(
            f"folds={config.folds}: a run has one of them; give fold=0, or another up to "
            f"{config.folds - 1}"
        )


def _require_fitting_data(task: Task, dataset: DictConfig, trusted: Iterable[str]) -> None:
    """Refuse a data set of another kind than the task takes, before any of it is read."""
    target = OmegaConf.select(dataset, "_target_")
    if task.takes is None:
        if target is not None:
            raise ConfigError(
                f"task={task.name} generates its own examples and takes no data set; take "
                f"dataset=none in place of dataset={dataset.name}"
            )
        return
    kind = None if target is None else _returned(target_of(dataset, trusted))
    # A loader of somebody's own may say nothing of what it returns.
    if target is not None and (kind is None or issubclass(kind, task.takes)):
        return
    raise ConfigError(
        f"dataset={dataset.name}: task={task.name} takes {_words(task.takes)}; the data sets that "
        f"fit: {', '.join(_fitting(task.takes))}"
    )


def _returned(loader: Any) -> type | None:
    """What a data set's loader says that it returns; None where it says nothing."""
    if isinstance(loader, type):
        return loader
    kind = get_type_hints(loader).get("return")
    return kind if isinstance(kind, type) else None


def _fitting(kind: type) -> list[str]:
    """The choices of ``conf/dataset`` that load this kind of data."""
    fitting = []
    for path in sorted((config_directory() / "dataset").glob("*.yaml")):
        node = OmegaConf.load(path)
        assert isinstance(node, DictConfig)
        if OmegaConf.is_missing(node, "_target_") or "_target_" not in node:
            continue
        loaded = _returned(target_of(node))
        if loaded is not None and issubclass(loaded, kind):
            fitting.append(path.stem)
    return fitting


def _words(kind: type) -> str:
    """A kind of data for people: the first line of its documentation, up to the first colon."""
    first = (inspect.getdoc(kind) or kind.__name__).splitlines()[0]
    return first.partition(":")[0].rstrip(".").lower()
