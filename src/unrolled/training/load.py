"""A trained run, from its folder alone: its record, its task, its model."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from unrolled.config.build import OURS
from unrolled.config.stored import stored_config
from unrolled.errors import RunError
from unrolled.runs.record import Record, best_path, read_record
from unrolled.tasks.build import build_task
from unrolled.tasks.task import Task

if TYPE_CHECKING:
    from unrolled.models.model import RecurrentModel


@dataclass(frozen=True)
class StoredRun:
    """What a run's folder says; reading it executes nothing."""

    folder: Path
    record: Record
    config: DictConfig
    trusted: tuple[str, ...] = OURS

    @cached_property
    def task(self) -> Task:
        """What the run learned.

        Raises:
            ConfigError: the configuration names code that is not trusted.
        """
        return build_task(self.config.task, self.trusted)

    @cached_property
    def fitted(self) -> Any:
        """What was fitted to its training data, such as a tokenizer.

        Raises:
            RunError: it is missing or damaged.
        """
        return self.task.restore(self.folder)

    def best_model(self) -> "RecurrentModel":
        """The run's network with the weights of its best checkpoint.

        Raises:
            RunError: there is no such checkpoint, or it does not fit.
            ConfigError: the configuration names code that is not trusted.
        """
        from unrolled.training.checkpoints import best_checkpoint, load_weights

        checkpoint = best_checkpoint(self.folder)
        model = self._built()
        load_weights(model, checkpoint, prefix="model.")
        return model

    def initial_model(self) -> "RecurrentModel":
        """The run's network as it was before the first step, drawn anew from its seed.

        What was fitted to the data, such as an order of tokens, is as it was. The global generator
        stays as it is.

        Raises:
            RunError: there is no best checkpoint, where something was fitted.
            ConfigError: the configuration names code that is not trusted.
        """
        import torch

        from unrolled.training.checkpoints import best_checkpoint, fitted_buffers, load_buffers

        with torch.random.fork_rng(devices=[]):
            # torch.manual_seed would seed every GPU, too.
            torch.default_generator.manual_seed(self.config.seed)
            model = self._built()
        if fitted_buffers(model):
            load_buffers(model, best_checkpoint(self.folder), prefix="model.")
        return model

    def _built(self) -> "RecurrentModel":
        from unrolled.models.build import build_model

        config = self.of_its_width(self.config)
        return build_model(config, self.task.parts(self.fitted, config.model), self.trusted)

    def of_its_width(self, config: DictConfig) -> DictConfig:
        """``config`` with the width and the head's cut-offs that were solved for then, whatever a
        budget and other data would be solved to now."""
        config = config.copy()
        config.budget.parameters = config.budget.flops = None
        config.model.hidden_size = self.record.model["hidden_size"]
        if "cutoffs" in config.head:
            config.head.cutoffs = self.record.model["cutoffs"]
        return config


def load_trained_run(folder: Path, trusted: Iterable[str] = OURS) -> StoredRun:
    """As ``load_run``, of a run whose best checkpoint is there.

    Raises:
        RunError: the folder holds no run, a damaged one, or one without that checkpoint.
    """
    run = load_run(folder, trusted)
    # Reading it takes torch, and who asks for a run that has none must not wait for that.
    best_path(folder)
    return run


def load_run(folder: Path, trusted: Iterable[str] = OURS) -> StoredRun:
    """Read a run's record and configuration.

    Args:
        trusted: prefixes of modules outside this package that the configuration may name.

    Raises:
        RunError: the folder holds no run, or a damaged one.
    """
    record = read_record(folder)
    config = stored_config(record.config, folder)
    if record.study != config.study:
        raise RunError(f"{folder}: its record is damaged, it names two studies")
    return StoredRun(folder, record, config, tuple(trusted))
