"""What a type cannot say: ranges, and keys that need each other."""

import math
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from omegaconf import DictConfig, OmegaConf

from unrolled.errors import ConfigError
from unrolled.runs.text import has_control_characters, printable

# Key: (lowest, highest), both allowed; None where there is no such bound, or no value at all.
LIMITS: dict[str, tuple[float | None, float | None]] = {
    "seed": (0, 2**32 - 1),
    "folds": (2, None),
    "fold": (0, None),
    "workers": (1, None),
    "model.embedding_size": (1, None),
    "model.hidden_size": (1, None),
    "model.last_layer_size": (1, None),
    "model.layers": (1, 10_000),
    "model.initialization_range": (0, None),
    "model.activation_regularization": (0, None),
    "model.temporal_activation_regularization": (0, None),
    "head.div_value": (1, None),
    "head.samples": (1, None),
    "budget.parameters": (1, None),
    "budget.flops": (1, None),
    "budget.tolerance": (0, 1),
    "task.batch_size": (1, None),
    "task.sequence_length": (1, None),
    "task.evaluation_batch_size": (1, None),
    "task.evaluation_sequence_length": (1, None),
    "optimizer.weight_decay": (0, None),
    "scheduler.warmup_steps": (0, None),
    "scheduler.first_epoch": (1, None),
    "scheduler.every_epochs": (1, None),
    "scheduler.patience": (0, None),
    "scheduler.factor": (0, 1),
    "scheduler.final_fraction": (0, 1),
    "scheduler.minimum_lr": (0, None),
    "optimizer.momentum": (0, None),
    "optimizer.alpha": (0, 1),
    "optimizer.non_monotone_interval": (1, None),
    "trainer.devices": (1, None),
    "trainer.threads": (1, None),
    "trainer.max_steps": (1, None),
    "trainer.max_epochs": (1, None),
    "trainer.validate_every_steps": (1, None),
    "trainer.early_stopping_patience": (1, None),
    "trainer.log_every_steps": (1, None),
    "diagnostics.every_validations": (1, None),
    "diagnostics.tokens": (1, None),
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
# A dropout of 1 would leave nothing, and a mean that decays by 1 would never move.
BELOW_ONE = [
    "model.dropout",
    "model.embedding_dropout",
    "model.layer_dropout",
    "model.output_dropout",
    "model.recurrent_dropout",
    "model.weight_dropout",
    "model.zoneout",
    "model.word_dropout",
    "optimizer.average_decay",
]
# The smallest number that fp32 has in full.
TINY = 1.2e-38
# Names that some file systems keep to themselves.
RESERVED = re.compile(r"(\.{1,2}|con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
LONGEST_NAME = 200


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
    if (cutoffs := OmegaConf.select(config, "head.cutoffs")) is not None:
        require_cutoffs(cutoffs)
    if config.model.residual and config.model.layers < 2:
        raise ConfigError(
            "model.residual=true: needs model.layers of 2 or more, since each layer but the first "
            "adds its input to its output"
        )
    if (last := config.model.last_layer_size) is not None:
        if config.model.layers < 2:
            raise ConfigError(
                f"model.last_layer_size={last}: needs model.layers of 2 or more; one layer is "
                "model.hidden_size wide"
            )
        if config.model.residual:
            raise ConfigError(
                f"model.last_layer_size={last}: model.residual=true adds each layer's input to "
                "its output, so all layers must be equally wide; set one of them to its default"
            )
    parameters, flops = config.budget.parameters, config.budget.flops
    if parameters is not None and flops is not None:
        raise ConfigError(
            f"budget.parameters={parameters} and budget.flops={flops}: one hidden size cannot "
            "meet both; set one of them to null"
        )
    _check_folds(config)
    _check_training(config)
    if not config.name_by:
        raise ConfigError("name_by is empty; it names the folder of a run")
    _check_study(config.study)
    for name in ("outputs", "cache"):
        path = config.paths[name]
        if path is not None and (not path.strip() or has_control_characters(path)):
            raise ConfigError(f"paths.{name}='{printable(path)}': the path of a folder is needed")


def require_cutoffs(cutoffs: Sequence[int]) -> None:
    """Refuse ranks that cut no vocabulary, whatever its size.

    Raises:
        ConfigError: there are none, or they are out of order.
    """
    written = f"head.cutoffs=[{','.join(map(str, cutoffs))}]"
    if not cutoffs:
        raise ConfigError(f"{written}: at least one is needed; or take head=linear")
    if any(low >= high for low, high in pairwise([0, *cutoffs])):
        raise ConfigError(f"{written}: each must be above 0 and above the one before it")


def _check_folds(config: DictConfig) -> None:
    """Folds and what is said of them go together."""
    folds, fold, validation = config.folds, config.fold, config.validation
    if validation.name == "kfold":
        if folds is None or validation.holds_out is None:
            key = "folds" if folds is None else "validation.holds_out"
            raise ConfigError(
                f"{key}=null: validation=kfold needs it; leave it as it is, or take "
                "validation=holdout"
            )
        if fold is not None and fold >= folds:
            raise ConfigError(f"fold={fold}: the folds are 0 to {folds - 1} (folds={folds})")
        return
    given = {"folds": folds, "fold": fold, "validation.holds_out": validation.holds_out}
    for key, value in given.items():
        if value is not None:
            raise ConfigError(f"{key}={value}: is of cross-validation; add validation=kfold")


def _check_study(study: str) -> None:
    """The name of a study is the name of its folder."""
    if not study.strip():
        raise ConfigError("study is empty; it names the folder of the runs")
    if has_control_characters(study):
        raise ConfigError(f"study='{printable(study)}': control characters name no folder")
    if "/" in study:
        raise ConfigError(f"study={study}: the name of one folder is needed, without a slash")
    if RESERVED.fullmatch(study):
        raise ConfigError(f"study={study}: a reserved name, which no folder can have")
    if len(study.encode()) > LONGEST_NAME:
        raise ConfigError(f"study={study[:20]}…: longer than {LONGEST_NAME} bytes")


def _check_training(config: DictConfig) -> None:
    """What the optimizer, the schedule and the trainer need of each other."""
    optimizer, trainer = config.optimizer, config.trainer
    betas = optimizer.get("betas")
    for beta in betas or ():
        _require_number("optimizer.betas", beta)
    if betas is not None and (len(betas) != 2 or not all(0 <= beta < 1 for beta in betas)):
        raise ConfigError(f"optimizer.betas={betas}: two numbers, each at least 0 and below 1")
    if optimizer.get("nesterov") and not optimizer.momentum:
        raise ConfigError("optimizer.nesterov=true: needs optimizer.momentum above 0")
    if optimizer.get("eps") is not None:
        _require_number("optimizer.eps", optimizer.eps)
        if optimizer.eps < TINY:
            raise ConfigError(
                f"optimizer.eps={optimizer.eps:g}: must be at least {TINY:g}, since a weight "
                "without a gradient, such as an unseen token's, is updated by 0 / (0 + eps)"
            )
    batch_size = OmegaConf.select(config, "task.batch_size")
    if trainer.strategy == "single" and trainer.devices > 1:
        raise ConfigError(f"trainer.devices={trainer.devices} needs trainer=ddp")
    if trainer.strategy == "ddp" and batch_size is not None and batch_size % trainer.devices:
        raise ConfigError(
            f"task.batch_size={batch_size}: cannot be shared out evenly among "
            f"trainer.devices={trainer.devices}"
        )
    if trainer.max_steps is None and trainer.max_epochs is None:
        raise ConfigError(
            "trainer.max_steps and trainer.max_epochs are both null, so the run would never end; "
            "give one of them"
        )


def _require_number(key: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ConfigError(f"{key}={value}: must be a number")
