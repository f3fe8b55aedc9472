"""What a type cannot say: ranges, and keys that need each other."""

import math
from typing import Any

from omegaconf import DictConfig, OmegaConf

from unrolled.errors import ConfigError

# Key: (lowest, highest), both allowed; None where there is no such bound, or no value at all.
LIMITS: dict[str, tuple[float | None, float | None]] = {
    "seed": (0, 2**32 - 1),
    "workers": (1, None),
    "model.embedding_size": (1, None),
    "model.hidden_size": (1, None),
    "model.layers": (1, None),
    "model.initialization_range": (0, None),
    "budget.parameters": (1, None),
    "budget.flops": (1, None),
    "budget.tolerance": (0, 1),
    "task.batch_size": (1, None),
    "task.sequence_length": (1, None),
    "task.evaluation_batch_size": (1, None),
    "task.evaluation_sequence_length": (1, None),
    "task.sample.length": (0, None),
    "task.sample.temperature": (0, None),
    "optimizer.weight_decay": (0, None),
    "scheduler.warmup_steps": (0, None),
    "scheduler.first_epoch": (1, None),
    "scheduler.every_epochs": (1, None),
    "scheduler.patience": (0, None),
    "scheduler.factor": (0, 1),
    "scheduler.final_fraction": (0, 1),
    "scheduler.minimum_lr": (0, None),
    "optimizer.momentum": (0, None),
    "optimizer.eps": (0, None),
    "optimizer.alpha": (0, 1),
    "trainer.devices": (1, None),
    "trainer.threads": (1, None),
    "trainer.max_steps": (1, None),
    "trainer.max_epochs": (1, None),
    "trainer.validate_every_steps": (1, None),
    "trainer.early_stopping_patience": (1, None),
    "trainer.log_every_steps": (1, None),
    "trainer.checkpoint_every_steps": (1, None),
    "trainer.limit_batches": (1, None),
    "trainer.overfit_batches": (1, None),
    "tokenizer.vocabulary_size": (1, None),
    "tokenizer.minimum_count": (0, None),
}
# Of which 0 or less would stop learning.
POSITIVE = [
    "optimizer.lr",
    "trainer.gradient_clip",
    "trainer.checkpoint_every_minutes",
    "time_limit_minutes",
]
# A dropout of 1 would leave nothing.
BELOW_ONE = [
    f"model.{name}"
    for name in (
        "dropout",
        "embedding_dropout",
        "layer_dropout",
        "output_dropout",
        "recurrent_dropout",
        "weight_dropout",
        "zoneout",
    )
]
PROFILERS = (None, "simple", "advanced")


def check(config: DictConfig) -> None:
    """Refuse values that no run could use.

    Raises:
        ConfigError: a value out of its range, or keys that contradict each other.
    """
    for key, (low, high) in LIMITS.items():
        value = OmegaConf.select(config, key)
        if value is None:
            continue
        _require_number(key, value)
        if low is not None and value < low:
            raise ConfigError(f"{key}={value}: must be at least {low:g}")
        if high is not None and value > high:
            raise ConfigError(f"{key}={value}: must be at most {high:g}")
    for key in POSITIVE:
        value = OmegaConf.select(config, key)
        if value is not None:
            _require_number(key, value)
            if value <= 0:
                raise ConfigError(f"{key}={value}: must be above 0")
    for key in BELOW_ONE:
        value = OmegaConf.select(config, key)
        if value is not None and not 0 <= value < 1:
            raise ConfigError(f"{key}={value}: must be at least 0 and below 1")
    if config.model.residual and config.model.layers < 2:
        raise ConfigError(
            "model.residual=true: needs model.layers of 2 or more, since each layer but the first "
            "adds its input to its output"
        )
    parameters, flops = config.budget.parameters, config.budget.flops
    if parameters is not None and flops is not None:
        raise ConfigError(
            f"budget.parameters={parameters} and budget.flops={flops}: one hidden size cannot "
            "meet both; set one of them to null"
        )
    _check_training(config)
    for name in ("study", "name_by"):
        if not config[name]:
            raise ConfigError(f"{name} is empty; it names the folder of the runs")
    if "/" in config.study or config.study in (".", ".."):
        raise ConfigError(f"study={config.study}: a folder's name, without a slash")


def _check_training(config: DictConfig) -> None:
    """What the optimizer, the schedule and the trainer need of each other."""
    optimizer, trainer = config.optimizer, config.trainer
    betas = optimizer.get("betas")
    if betas is not None and (len(betas) != 2 or not all(0 <= beta < 1 for beta in betas)):
        raise ConfigError(f"optimizer.betas={betas}: two numbers, each at least 0 and below 1")
    if optimizer.get("nesterov") and not optimizer.momentum:
        raise ConfigError("optimizer.nesterov=true: needs optimizer.momentum above 0")
    if trainer.strategy == "ddp" and config.task.batch_size % trainer.devices:
        raise ConfigError(
            f"task.batch_size={config.task.batch_size}: cannot be shared out evenly among "
            f"trainer.devices={trainer.devices}"
        )
    if trainer.max_steps is None and trainer.max_epochs is None:
        raise ConfigError(
            "trainer.max_steps and trainer.max_epochs are both null, so the run would never end; "
            "give one of them"
        )
    if trainer.profiler not in PROFILERS:
        raise ConfigError(f"trainer.profiler={trainer.profiler}: choose simple, advanced or null")


def _require_number(key: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ConfigError(f"{key}={value}: must be a number")
