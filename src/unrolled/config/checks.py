"""What a type cannot say: ranges, and keys that need each other."""

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
    "budget.tolerance": (0, 1),
    "task.batch_size": (1, None),
    "task.sequence_length": (1, None),
    "task.evaluation_batch_size": (1, None),
    "task.evaluation_sequence_length": (1, None),
    "task.sample.length": (0, None),
    "task.sample.temperature": (0, None),
    "optimizer.lr": (0, None),
    "optimizer.weight_decay": (0, None),
    "scheduler.warmup_steps": (0, None),
    "scheduler.first_epoch": (1, None),
    "scheduler.every_epochs": (1, None),
    "scheduler.patience": (0, None),
    "trainer.devices": (1, None),
    "trainer.threads": (1, None),
    "trainer.max_steps": (1, None),
    "trainer.max_epochs": (1, None),
    "trainer.validate_every_steps": (1, None),
    "trainer.early_stopping_patience": (1, None),
    "trainer.gradient_clip": (0, None),
    "trainer.log_every_steps": (1, None),
    "trainer.limit_batches": (1, None),
    "trainer.overfit_batches": (1, None),
    "tokenizer.vocabulary_size": (1, None),
    "tokenizer.minimum_count": (0, None),
}
# A dropout of 1 would leave nothing.
BELOW_ONE = [
    f"model.{name}" for name in ("dropout", "embedding_dropout", "layer_dropout", "output_dropout")
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
        if not isinstance(value, int | float):
            raise ConfigError(f"{key}={value}: must be a number")
        if low is not None and value < low:
            raise ConfigError(f"{key}={value}: must be at least {low:g}")
        if high is not None and value > high:
            raise ConfigError(f"{key}={value}: must be at most {high:g}")
    for key in BELOW_ONE:
        value = OmegaConf.select(config, key)
        if value is not None and not 0 <= value < 1:
            raise ConfigError(f"{key}={value}: must be at least 0 and below 1")
    trainer = config.trainer
    if trainer.max_steps is None and trainer.max_epochs is None:
        raise ConfigError(
            "trainer.max_steps and trainer.max_epochs are both null, so the run would never end; "
            "give one of them"
        )
    if trainer.profiler not in PROFILERS:
        raise ConfigError(f"trainer.profiler={trainer.profiler}: choose simple, advanced or null")
    for name in ("study", "name_by"):
        if not config[name]:
            raise ConfigError(f"{name} is empty; it names the folder of the runs")
    if "/" in config.study or config.study in (".", ".."):
        raise ConfigError(f"study={config.study}: a folder's name, without a slash")
