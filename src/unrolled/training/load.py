"""A trained run, from its folder alone: its record, its tokenizer, its model."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf

from unrolled.config.build import OURS
from unrolled.data.text_tokenizer import TextTokenizer
from unrolled.data.tokenizers import load_tokenizer
from unrolled.errors import DataError, RunError
from unrolled.runs.record import Record, read_record

if TYPE_CHECKING:
    from unrolled.models.language_model import RecurrentLanguageModel


# What every run's configuration has.
GROUPS = (
    "task",
    "dataset",
    "tokenizer",
    "cell",
    "model",
    "budget",
    "optimizer",
    "scheduler",
    "trainer",
)


# Keys that the first versions' runs do not have, as they were without them.
ADDED = {
    "retry_failed": None,
    "fail_fast": False,
    "time_limit_minutes": None,
    "trial": {"storage": None, "search": None, "number": None},
    "trial.objectives": None,
    "trainer.checkpoint_every_steps": None,
    "trainer.checkpoint_every_minutes": None,
    "budget.flops": None,
    "model.recurrent_dropout": 0.0,
    "model.weight_dropout": 0.0,
    "model.zoneout": 0.0,
    "model.residual": False,
    "model.recompute": False,
}


@dataclass(frozen=True)
class StoredRun:
    """What a run's folder says; reading it executes nothing."""

    folder: Path
    record: Record
    config: DictConfig
    tokenizer: TextTokenizer

    def best_model(self, trusted: Iterable[str] = OURS) -> "RecurrentLanguageModel":
        """The run's network with the weights of its best checkpoint.

        Args:
            trusted: prefixes of modules outside this package that the configuration may name.

        Raises:
            RunError: there is no such checkpoint, or it does not fit.
            ConfigError: the configuration names code that is not trusted.
        """
        from unrolled.models.build import build_language_model
        from unrolled.training.checkpoints import best_checkpoint, load_weights

        checkpoint = best_checkpoint(self.folder)
        config = self.of_its_width(self.config)
        model = build_language_model(config, self.tokenizer.vocabulary_size, trusted)
        load_weights(model, checkpoint, prefix="model.")
        return model

    def of_its_width(self, config: DictConfig) -> DictConfig:
        """``config`` with the width that was solved for then, whatever a budget would be solved
        to now."""
        config = config.copy()
        config.budget.parameters = config.budget.flops = None
        config.model.hidden_size = self.record.model["hidden_size"]
        return config


def load_run(folder: Path) -> StoredRun:
    """Read a run's record, configuration and tokenizer.

    Raises:
        RunError: the folder holds no run, or a damaged one.
    """
    record = read_record(folder)
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise RunError(
            f"{folder}: no tokenizer.json in it; the run ended before it began to train"
        )
    config = OmegaConf.create(record.config)
    OmegaConf.set_struct(config, True)
    lacking = [group for group in GROUPS if not isinstance(config.get(group), DictConfig)]
    if lacking:
        raise RunError(f"{folder}: its record is damaged, its configuration lacks {lacking[0]}")
    for key, value in ADDED.items():
        group, _, name = key.rpartition(".")
        if name not in (config[group] if group else config):
            OmegaConf.update(config, key, value, force_add=True)
    try:
        tokenizer = load_tokenizer(path.read_text(encoding="utf-8"))
    except DataError as error:
        raise RunError(f"{path}: {error}") from error
    return StoredRun(folder, record, config, tokenizer)
