"""What a run needs before anything heavy: its data, and a metric that there is to look at."""

import difflib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from unrolled.config.build import EVERYTHING, build
from unrolled.data.tokens import TokenizedCorpus, default_cache, prepare
from unrolled.errors import ConfigError
from unrolled.runs.task import TaskDescription
from unrolled.tasks import language_modeling


def prepare_data(config: DictConfig, trusted: Iterable[str] = EVERYTHING) -> TokenizedCorpus:
    """Read, tokenize and cache what ``config.dataset`` and ``config.tokenizer`` name.

    Args:
        trusted: prefixes of modules outside this package that the configuration may name.

    Raises:
        DataError: the text cannot be used; the message says which and why.
    """
    nodes = OmegaConf.create({"dataset": config.dataset, "tokenizer": config.tokenizer})
    return _prepare(OmegaConf.to_yaml(nodes, resolve=True), config.paths.cache, tuple(trusted))


@lru_cache(maxsize=2)
def _prepare(nodes: str, cache: str | None, trusted: tuple[str, ...]) -> TokenizedCorpus:
    config = OmegaConf.create(nodes)
    assert isinstance(config, DictConfig)
    corpus = build(config.dataset, trusted=trusted)
    tokenizer = build(config.tokenizer, trusted=trusted)
    return prepare(corpus, tokenizer, Path(cache).expanduser() if cache else default_cache())


def describe_task(config: DictConfig) -> TaskDescription:
    """The task of a run, as far as its configuration alone tells: without baselines."""
    return language_modeling.describe()


def check_run(config: DictConfig) -> None:
    """Refuse what no run could do, as far as its configuration alone tells.

    Raises:
        ConfigError: no such metric; the message names the nearest one.
    """
    known = [f"validation/{name}" for name in describe_task(config).metrics]
    monitor = config.task.monitor
    if monitor not in known:
        near = difflib.get_close_matches(monitor, known, n=1, cutoff=0.0)[0]
        raise ConfigError(f"task.monitor={monitor}: no such metric; did you mean {near}?")
