"""Giving up a trial that does worse than the others at the same step, by its search's pruner."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, cast

import pytorch_lightning as pl
from omegaconf import DictConfig

from unrolled.errors import PrunedError
from unrolled.sweeps.search.storage import PRUNER, make_pruner, open_storage, quiet

if TYPE_CHECKING:
    import optuna


class HasResults(Protocol):
    """A Lightning module that keeps the metrics of its latest evaluations, by split."""

    results: Mapping[str, Mapping[str, float]]


class Pruning(pl.Callback):
    """Report each validation's metric to the search, and end the run where the pruner says so.

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
        step = trainer.global_step
        value = cast(HasResults, pl_module).results["validation"][self.monitor]
        reported = self.trial.storage.get_trial(self.trial._trial_id).intermediate_values
        if step not in reported:
            self.trial.report(value, step)
        # A run that goes on from a checkpoint comes by steps that were reported before.
        if step >= max(reported, default=0) and self.trial.should_prune():
            raise PrunedError(
                f"given up at step {step}: {self.monitor} {value:.4g} is behind the others'"
            )


def _find(trial: DictConfig) -> "optuna.Trial | None":
    """The run's trial; None where its search has no pruner."""
    import optuna

    optuna_study = optuna.load_study(study_name=trial.search, storage=open_storage(trial.storage))
    chosen = optuna_study.user_attrs.get(PRUNER)
    if not chosen or len(optuna_study.directions) > 1:
        return None
    optuna_study.pruner = make_pruner(chosen)
    frozen = optuna_study.get_trials(deepcopy=False)[trial.number]
    return optuna.Trial(optuna_study, frozen._trial_id)
