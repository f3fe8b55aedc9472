"""What ``hydra.sweeper`` says of a fair study, checked before anything runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig

from unrolled.errors import ConfigError
from unrolled.tasks.build import describe_task


@dataclass(frozen=True)
class FairOptions:
    """The options of a fair study.

    Attributes:
        n_trials: of each search.
        give_up_at: rising shares of a run's steps, each between 0 and 1, at which the best go on.
        keep: the share of trials that goes on each time.
        objective: the metric that is best, with its split, and ``lower_is_better`` its direction.
    """

    n_trials: int
    sampler: str
    give_up_at: tuple[float, ...]
    keep: float
    search_seed: int
    seed: int
    objective: str
    lower_is_better: bool

    @classmethod
    def of(cls, sweeper: Mapping[str, Any], config: DictConfig) -> "FairOptions":
        """The options.

        Args:
            sweeper: ``hydra.sweeper``.
            config: of a run.

        Raises:
            ConfigError: an option that cannot work.
        """
        task = describe_task(config)
        known = {f"validation/{name}": metric for name, metric in task.metrics.items()}
        objective = str(sweeper["objective"] or task.monitor)
        if objective not in known:
            raise ConfigError(
                f"hydra.sweeper.objective={objective}: a search looks at validation: "
                f"{', '.join(known)}"
            )
        if sweeper["n_trials"] < 1:
            raise ConfigError(f"hydra.sweeper.n_trials={sweeper['n_trials']}: must be at least 1")
        shares = [float(share) for share in sweeper["give_up_at"]]
        if shares != sorted(set(shares)) or not all(0 < share < 1 for share in shares):
            raise ConfigError(
                f"hydra.sweeper.give_up_at={shares}: rising shares of a run between 0 and 1, such "
                "as [0.25,0.5]"
            )
        if not 0 < sweeper["keep"] <= 1:
            raise ConfigError(
                f"hydra.sweeper.keep={sweeper['keep']:g}: a share of the trials above 0, at most 1"
            )
        return cls(
            sweeper["n_trials"],
            str(getattr(sweeper["sampler"], "name", sweeper["sampler"])),
            tuple(shares),
            sweeper["keep"],
            sweeper["search_seed"],
            sweeper["seed"],
            objective,
            known[objective].lower_is_better,
        )
