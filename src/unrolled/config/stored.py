"""A configuration that a record has kept, checked exactly as a typed one."""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import fields
from typing import Any

from omegaconf import DictConfig, OmegaConf

from unrolled.config.checks import check
from unrolled.config.schema import Trial
from unrolled.config.typed import typed
from unrolled.errors import ConfigError, RunError
from unrolled.runs.identity import ADDED_LATER

# What a run says of the search that it belongs to.
TRIAL = tuple(field.name for field in fields(Trial))
# Keys that the first versions' runs do not have, as they were without them.
ADDED: dict[str, Any] = {
    "retry_failed": None,
    "fail_fast": False,
    "folds": None,
    "fold": None,
    "validation": {"name": "holdout", "holds_out": None},
    "time_limit_minutes": None,
    "trial": dict.fromkeys(TRIAL),
    "diagnostics": {"every_validations": None, "tokens": 2000},
    "trainer.checkpoint_every_steps": None,
    "trainer.checkpoint_every_minutes": None,
    "logger.wandb": False,
    "logger.mlflow": False,
    "logger.comet": False,
    "logger.project": None,
    "logger.workspace": None,
    "logger.offline": True,
    "logger.tracking_uri": None,
    "budget.flops": None,
    "model.recurrent_dropout": 0.0,
    "model.weight_dropout": 0.0,
    "model.zoneout": 0.0,
    "model.residual": False,
    "model.recompute": False,
    # What a class's constructor has a default for needs none here.
    **{key: value for key, value in ADDED_LATER.items() if not key.startswith("task.")},
}


def stored_config(values: Mapping[str, Any], where: object) -> DictConfig:
    """The configuration of a record, complete and of the right types.

    No code outside this package is looked at: the options of a person's own classes stay as they
    are until the class is trusted and built.

    Args:
        values: the record's ``config``.
        where: what the message of an error begins with.

    Raises:
        RunError: it is none that a run could have had.
    """
    complete = _completed(values)
    try:
        for key, text in _texts(complete):
            if "${" in text or text == "???":
                raise ConfigError(f"{key}={text}: a stored value refers to nothing else")
        config = OmegaConf.create(typed(complete, read_own=False))
        check(config)
    except ConfigError as error:
        raise RunError(f"{where}: its stored configuration cannot be used: {error}") from error
    OmegaConf.set_struct(config, True)
    return config


def _completed(values: Mapping[str, Any]) -> dict[str, Any]:
    complete = deepcopy(dict(values))
    for key, value in ADDED.items():
        group, _, name = key.rpartition(".")
        node = complete.get(group) if group else complete
        if isinstance(node, dict):
            node.setdefault(name, value)
    trainer, paths, trial = (complete.get(name) for name in ("trainer", "paths", "trial"))
    if isinstance(trial, dict):
        # Searches of earlier versions recorded where they were, and not what they looked for.
        for name in TRIAL:
            trial.setdefault(name, None)
    if isinstance(trainer, dict) and trainer.get("strategy") == "single":
        # Earlier versions recorded another number, which had no effect.
        trainer["devices"] = 1
    if isinstance(paths, dict):
        # Where it was on the machine that trained; nobody else's record says where to write here.
        paths["cache"] = None
    return complete


def _texts(values: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every text of nested containers, with its dotted key."""
    if isinstance(values, str):
        yield prefix, values
    elif isinstance(values, Mapping):
        for key, value in values.items():
            yield from _texts(value, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(values, list):
        for value in values:
            yield from _texts(value, prefix)
