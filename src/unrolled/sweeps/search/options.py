"""What ``hydra.sweeper`` says of a search, checked before anything runs."""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig

from unrolled.errors import ConfigError
from unrolled.runs.identity import study_folder
from unrolled.runs.task import Direction
from unrolled.sweeps.expansion import has_open_folds
from unrolled.sweeps.search.storage import JOURNAL
from unrolled.tasks.build import describe_task

# What a trial can be judged by besides the metrics of validation; less is better of each.
FIELDS = ("model.parameters", "model.flops_per_token", "model.state_size", "timing.seconds")


@dataclass(frozen=True)
class SearchOptions:
    """The options of a search.

    Attributes:
        n_trials: how many there are to be in all.
        objectives: what trials are judged by, each with the direction that is better.
        storage: the path of a journal, or the URL of a database.
    """

    n_trials: int
    sampler: str
    pruner: str
    objectives: dict[str, Direction]
    storage: str
    seed: int
    startup_trials: int
    reduction_factor: int

    @classmethod
    def of(cls, sweeper: Mapping[str, Any], config: DictConfig) -> "SearchOptions":
        """The options, as far as they can be checked before anything is run.

        Args:
            sweeper: ``hydra.sweeper``.
            config: of a run.

        Raises:
            ConfigError: Optuna is missing, or an option that cannot work.
        """
        if importlib.util.find_spec("optuna") is None:
            raise ConfigError("hydra/sweeper=optuna needs Optuna: pip install 'unrolled[search]'")
        task = describe_task(config)
        known: dict[str, Direction] = {
            **{f"validation/{name}": metric.direction for name, metric in task.metrics.items()},
            **dict.fromkeys(FIELDS, "min"),
        }
        objectives = list(sweeper["objectives"] or [task.monitor])
        for name in objectives:
            if name not in known:
                raise ConfigError(
                    f"hydra.sweeper.objectives={name}: a search looks at validation and costs: "
                    f"{', '.join(known)}"
                )
        pruner = str(getattr(sweeper["pruner"], "name", sweeper["pruner"]))
        _require_prunable(pruner, objectives, task.monitor)
        if pruner != "none" and has_open_folds(config):
            raise ConfigError(
                f"hydra.sweeper.pruner={pruner}: a trial of several folds is judged by the mean "
                "of all, and not given up before; take hydra.sweeper.pruner=none, or one fold, "
                "such as fold=0"
            )
        for name in ("n_trials", "startup_trials"):
            if sweeper[name] < 1:
                raise ConfigError(f"hydra.sweeper.{name}={sweeper[name]}: must be at least 1")
        if sweeper["reduction_factor"] < 2:
            raise ConfigError(
                f"hydra.sweeper.reduction_factor={sweeper['reduction_factor']}: must be at least 2"
            )
        return cls(
            sweeper["n_trials"],
            str(getattr(sweeper["sampler"], "name", sweeper["sampler"])),
            pruner,
            {name: known[name] for name in objectives},
            # As it will be seen from a run, which may be elsewhere.
            sweeper["storage"] or str((study_folder(config) / JOURNAL).resolve()),
            sweeper["seed"],
            sweeper["startup_trials"],
            sweeper["reduction_factor"],
        )

    def pruner_numbers(self, config: DictConfig) -> dict[str, Any] | None:
        """The pruner by name, its numbers in steps of training; None where there is none."""
        interval = config.trainer.validate_every_steps or 1
        if self.pruner == "none":
            return None
        if self.pruner == "median":
            return {"name": self.pruner, "n_startup_trials": 5, "n_warmup_steps": interval}
        halving = {"name": self.pruner, "reduction_factor": self.reduction_factor}
        if self.pruner == "hyperband":
            most = config.trainer.max_steps or "auto"
            return {**halving, "min_resource": interval, "max_resource": most}
        return {**halving, "min_resource": interval}


def _require_prunable(pruner: str, objectives: list[str], monitor: str) -> None:
    if pruner != "none" and len(objectives) > 1:
        raise ConfigError(
            f"hydra.sweeper.pruner={pruner}: there is no pruning by several objectives; take "
            "hydra.sweeper.pruner=none, or one objective"
        )
    if pruner != "none" and objectives != [monitor]:
        raise ConfigError(
            f"hydra.sweeper.pruner={pruner}: trials are given up by task.monitor={monitor}, and "
            f"the objective is {objectives[0]}; make them the same"
        )
