"""Giving up a trial that does worse than the others at the same step, by its search's pruner."""

from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
from omegaconf import DictConfig

from unrolled.errors import PrunedError
from unrolled.sweeps.search.storage import PRUNER, make_pruner, open_storage, quiet

if TYPE_CHECKING:
    import optuna


def pruning_callbacks(config: DictConfig) -> list[pl.Callback]:
    """What a run does for the search that it is a trial of; nothing where it is none's."""
    if config.trial.number is None:
        return []
    return [Pruning(config.trial, config.task.monitor)]


class Pruning(pl.Callback):
    """Tell the search each validation's metric, and end the run where the pruner says so.

    Args:
        trial: where the search is stored, what it is called, and which of its trials this is.
        monitor: the metric.

    Raises:
        PrunedError: the trial is given up.
        ConfigError: the search cannot be read.
    """

    def __init__(self, trial: DictConfig, monitor: str) -> None:
        self.monitor = monitor
        with quiet():
            self.trial = _find(trial)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.trial is None:
            return
        results: Any = pl_module.results
        step = trainer.global_step
        value = results["validation"][self.monitor]
        reported = self.trial.storage.get_trial(self.trial._trial_id).intermediate_values
        if step not in reported:
            self.trial.report(value, step)
        # A run that goes on from a checkpoint comes by steps at which it was kept before.
        if step >= max(reported, default=0) and self.trial.should_prune():
            raise PrunedError(
                f"given up at step {step}: {self.monitor} {value:.4g} is behind the others'"
            )


def _find(trial: DictConfig) -> "optuna.Trial | None":
    """The run's trial; None where its search has no pruner."""
    import optuna

    study = optuna.load_study(study_name=trial.search, storage=open_storage(trial.storage))
    chosen = study.user_attrs.get(PRUNER)
    if not chosen or len(study.directions) > 1:
        return None
    study.pruner = make_pruner(chosen)
    frozen = study.get_trials(deepcopy=False)[trial.number]
    return optuna.Trial(study, frozen._trial_id)
