"""What makes two runs the same run, and what a run's folder is called."""

import hashlib
import importlib.util
import json
import re
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from unrolled.errors import ConfigError

# Where things are, how many run at once, what is logged. The data set's options are not a part of
# the identity either, since the fingerprint of what they gave is.
CANNOT_CHANGE_A_RESULT = (
    "study",
    "name_by",
    "workers",
    "retry_failed",
    "fail_fast",
    "time_limit_minutes",
    "trial",
    "published",
    "paths",
    "validation.name",
    "logger",
    "diagnostics",
    "dataset",
    "task.sample",
    "task.ngram_order",
    "model.name",
    "budget.name",
    "trainer.name",
    "trainer.log_every_steps",
    "trainer.checkpoint_every_steps",
    "trainer.checkpoint_every_minutes",
    "trainer.profiler",
)
# Part of the identity, since last digits differ; yet runs that differ in these alone count as the
# same configuration.
CHANGES_ROUNDING_ONLY = (
    "cell.backend",
    "budget.tolerance",
    "task.evaluation_sequence_length",
    "trainer.accelerator",
    "trainer.threads",
    "trainer.deterministic",
)
# Keys that came after runs were recorded without them, each with the value that says the same as
# its absence: with it, a run is the one that it was before there was the key.
ADDED_LATER: dict[str, Any] = {
    "task.evaluation_warm_up": 0,
    "task.variable_length": False,
    "head": {"name": "linear", "_target_": "unrolled.models.token_heads.linear"},
    "model.last_layer_size": None,
    "model.word_dropout": 0.0,
    "model.activation_regularization": 0.0,
    "model.temporal_activation_regularization": 0.0,
}
# Groups whose class may be a person's own, and the name under which its code counts.
_OWN_CODE = {
    "cell": "code",
    "task": "task_code",
    "optimizer": "optimizer_code",
    "scheduler": "scheduler_code",
}


def plain(config: DictConfig) -> DictConfig:
    """The resolved configuration as a record keeps it: no interpolations, choices as words."""
    result = OmegaConf.create(as_dict(config))
    OmegaConf.set_struct(result, True)
    return result


def identity(config: DictConfig, fingerprint: str) -> str:
    """The sha256 of what decides the result: the configuration that matters, the data's content,
    and the code of a cell, a task, an optimizer or a scheduler of one's own."""
    values = as_dict(config)
    for group, name in _OWN_CODE.items():
        target = OmegaConf.select(config, f"{group}._target_", default="unrolled.")
        if source := _source(str(target)):
            values[name] = hashlib.sha256(source).hexdigest()
    for key in CANNOT_CHANGE_A_RESULT:
        _remove(values, key)
    for key, absent in ADDED_LATER.items():
        if OmegaConf.select(config, key) == absent:
            _remove(values, key)
    if values.get("folds") is None:
        # Without folds it is the identity that a run had before there were any.
        for key in ("folds", "fold", "validation"):
            values.pop(key, None)
    text = json.dumps({"config": values, "data": fingerprint}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _remove(values: dict[str, Any], key: str) -> None:
    *parents, last = key.split(".")
    node = values
    for parent in parents:
        node = node.get(parent, {})
    node.pop(last, None)


def _source(target: str) -> bytes | None:
    """The file of a class of a person's own, as far as there is one."""
    if target.startswith(("unrolled.", "torch.")):
        return None
    try:
        spec = importlib.util.find_spec(target.rpartition(".")[0])
    except (ImportError, ValueError):
        # What is not there is refused, with its reason, where it is built.
        return None
    origin = Path(spec.origin) if spec is not None and spec.origin else None
    return origin.read_bytes() if origin is not None and origin.is_file() else None


def run_name(config: DictConfig, identity: str) -> str:
    """A name that a person can read, such as ``gru-seed1-3fa2c1``; a fold's has its number.

    Raises:
        ConfigError: ``name_by`` names a key that the configuration lacks.
    """
    parts = []
    absent = object()
    fold = [] if config.get("fold") is None else ["fold"]
    for key in dict.fromkeys([*config.name_by, *fold]):
        value = OmegaConf.select(config, key, default=absent)
        if value is absent:
            raise ConfigError(f"name_by names {key}, which the configuration does not have")
        label = "" if key == "cell.name" else key.rpartition(".")[2]
        if isinstance(value, DictConfig):
            # A swept group (optimizer=adam,sgd) is named by the name of its choice.
            value, label = value.get("name"), ""
            if value is None:
                continue
        value = "none" if value is None else value
        # A search draws all digits of a number; the identity at the end tells those apart.
        value = f"{value:.4g}" if isinstance(value, float) else value
        parts.append(re.sub(r"[^\w.+-]+", "_", f"{label}{value}"))
    return "-".join([*parts, identity[:6]])


def study_folder(config: DictConfig) -> Path:
    """``<outputs>/<study>``, with a folder in it for each run."""
    return Path(config.paths.outputs).expanduser() / str(config.study)


def as_dict(config: DictConfig) -> dict[str, Any]:
    """The configuration as nested dictionaries."""
    container = OmegaConf.to_container(config, resolve=True, enum_to_str=True)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}
