"""A search in Optuna's storage: begun, or gone on with after anything at all."""

import contextlib
import itertools
import math
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from unrolled.errors import ConfigError
from unrolled.runs import locks
from unrolled.runs.identity import identity, study_folder
from unrolled.runs.record import Record, look_up, read_record
from unrolled.sweeps.search.options import SearchOptions
from unrolled.sweeps.search.space import grid_of
from unrolled.sweeps.search.storage import PRUNER, make_pruner, open_storage, quiet
from unrolled.training.run import Outcome

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

# User attributes: of Optuna's study, what the search is about; of a trial, which process of the
# search works on it.
ABOUT, SEARCHER = "about", "searcher"
# Another process of the search may be choosing its next trial.
ASK_TIMEOUT_SECONDS = 60.0


class Search:
    """The trials of a search, shared by all processes that work on it.

    While a process works on it, its trials are marked as that process's; after a crash they are
    nobody's, and the next process goes on with them.

    Args:
        config: of a run, every swept key at a value it may have.
        space: what each swept key may be.

    Raises:
        ConfigError: the storage cannot be used, or holds a search of another kind.
    """

    def __init__(
        self, options: SearchOptions, config: DictConfig, space: "dict[str, BaseDistribution]"
    ) -> None:
        self.options = options
        self.config = config
        self.space = space
        self.pruner = options.pruner_numbers(config)
        self.folder = study_folder(config)
        self.id = uuid.uuid4().hex
        self.under_way: set[int] = set()
        # Trials whose run another trial under way makes: each is tried again once.
        self.duplicates: list[int] = []
        self.tried_again: set[int] = set()
        self.optuna_study = self._open()
        self.trials = options.n_trials
        if options.sampler == "grid":
            self.trials = self._enqueue_grid()

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Mark the trials that this process takes as its own."""
        with locks.hold(self._lock(self.id), "this search"):
            yield
        self._lock(self.id).unlink(missing_ok=True)

    def next_trial(self) -> "optuna.Trial | None":
        """A trial to be run: first those that a process which is gone left under way, then new
        ones until there are ``n_trials`` in all; None where there is none for now.

        A trial whose run another one made meanwhile is tried again when that has ended.
        """
        with locks.hold(self._lock("ask"), f"the search of {self.folder}", ASK_TIMEOUT_SECONDS):
            trial = self._adopt() or self._ask()
            if trial is None and self.duplicates and not self.under_way:
                trial = self._open_trial(self.duplicates.pop())
            if trial is not None:
                trial.set_user_attr(SEARCHER, self.id)
                self.under_way.add(trial.number)
        return trial

    def tell(self, number: int, outcomes: Sequence[Outcome]) -> None:
        """Record what became of a trial, whose value is the mean over its runs.

        One that was interrupted, or that another process works on, stays open.

        Args:
            outcomes: of the trial's run, or of its folds; the first failure fails the trial.
        """
        from optuna.trial import TrialState

        self.under_way.discard(number)
        by_status = {outcome.status: outcome for outcome in reversed(outcomes)}
        if "failed" in by_status:
            self._fail(number, by_status["failed"].message)
            return
        if "busy" in by_status and number not in self.tried_again:
            self.duplicates.append(number)
            self.tried_again.add(number)
        if by_status.keys() & {"interrupted", "busy"}:
            return
        if "pruned" in by_status:
            self.optuna_study.tell(number, state=TrialState.PRUNED, skip_if_finished=True)
            return
        records = [read_record(one.folder) for one in outcomes if one.folder is not None]
        values = [
            sum(value_of(record, name) for record in records) / len(records)
            for name in self.options.objectives
        ]
        if not all(math.isfinite(value) for value in values):
            self._fail(number, f"{list(self.options.objectives)} came out as {values}")
            return
        names = [record.name for record in records]
        if len(names) == 1:
            if len(self.options.objectives) == 1:
                self._report(number, records[0])
            self._open_trial(number).set_user_attr("run", names[0])
        else:
            self._open_trial(number).set_user_attr("folds", names)
        self.optuna_study.tell(number, values, skip_if_finished=True)

    def _open(self) -> "optuna.Study":
        import optuna

        options = self.options
        storage = open_storage(options.storage)
        up, down = optuna.study.StudyDirection.MAXIMIZE, optuna.study.StudyDirection.MINIMIZE
        directions = [up if better == "max" else down for better in options.objectives.values()]
        about = {
            "space": {key: repr(value) for key, value in self.space.items()},
            "objectives": list(options.objectives),
            "pruner": options.pruner,
            # Everything else that decides a result.
            "config": identity(self.config, ""),
        }
        name = str(self.config.study)
        with quiet():
            optuna_study = optuna.create_study(
                study_name=name,
                storage=storage,
                directions=directions,
                load_if_exists=True,
                pruner=make_pruner(self.pruner),
            )
            optuna_study.sampler = self._sampler(len(optuna_study.get_trials(deepcopy=False)))
        before = optuna_study.user_attrs.get(ABOUT)
        if before is None:
            optuna_study.set_user_attr(PRUNER, self.pruner)
            optuna_study.set_user_attr(ABOUT, about)
        elif changed := [key for key in about if before.get(key) != about[key]]:
            raise ConfigError(
                f"study={name}: {options.storage} has a search of this name with another "
                f"{changed[0]}, and its trials cannot be distinguished from these; give another "
                "study=…"
            )
        return optuna_study

    def _sampler(self, trials: int) -> "optuna.samplers.BaseSampler":
        import optuna

        # A search that goes on must not draw again what it began with.
        seed = self.options.seed + trials
        if self.options.sampler == "tpe":
            return optuna.samplers.TPESampler(
                seed=seed, n_startup_trials=self.options.startup_trials, constant_liar=True
            )
        if self.options.sampler == "nsgaii":
            return optuna.samplers.NSGAIISampler(seed=seed)
        return optuna.samplers.RandomSampler(seed=seed)

    def _enqueue_grid(self) -> int:
        """Put every point of the grid into the queue, once; how many there are."""
        grid = grid_of(self.space)
        points = [
            dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())
        ]
        with locks.hold(self._lock("ask"), f"the search of {self.folder}", ASK_TIMEOUT_SECONDS):
            for point in points:
                self.optuna_study.enqueue_trial(point, skip_if_exists=True)
        return len(points)

    def _adopt(self) -> "optuna.Trial | None":
        """A trial that was left under way by a process that is gone."""
        import optuna
        from optuna.trial import TrialState

        for trial in self.optuna_study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            searcher = trial.user_attrs.get(SEARCHER)
            if searcher == self.id or (searcher and locks.is_held(self._lock(searcher))):
                continue
            # One that is not fully drawn yet was left in the moment of asking.
            return self._drawn(optuna.Trial(self.optuna_study, trial._trial_id))
        return None

    def _ask(self) -> "optuna.Trial | None":
        from optuna.trial import TrialState

        trials = self.optuna_study.get_trials(deepcopy=False)
        begun = [trial for trial in trials if trial.state != TrialState.WAITING]
        if len(begun) >= self.trials:
            return None
        with quiet():
            return self._drawn(self.optuna_study.ask())

    def _drawn(self, trial: "optuna.Trial") -> "optuna.Trial":
        from optuna.distributions import (
            CategoricalDistribution,
            FloatDistribution,
            IntDistribution,
        )

        for key, drawn in self.space.items():
            if isinstance(drawn, CategoricalDistribution):
                trial.suggest_categorical(key, drawn.choices)
            elif isinstance(drawn, IntDistribution):
                trial.suggest_int(key, drawn.low, drawn.high, step=drawn.step, log=drawn.log)
            else:
                assert isinstance(drawn, FloatDistribution)
                trial.suggest_float(key, drawn.low, drawn.high, step=drawn.step, log=drawn.log)
        return trial

    def _open_trial(self, number: int) -> "optuna.Trial":
        import optuna

        frozen = self.optuna_study.get_trials(deepcopy=False)[number]
        return optuna.Trial(self.optuna_study, frozen._trial_id)

    def _report(self, number: int, record: Record) -> None:
        """The curve of a run that was there before the trial, for the pruner to learn from."""
        (name,) = self.options.objectives
        reported = self.optuna_study.get_trials(deepcopy=False)[number].intermediate_values
        trial = self._open_trial(number)
        for entry in record.history:
            step, value = int(entry["step"]), entry.get(name)
            if step not in reported and value is not None:
                trial.report(value, step)

    def _fail(self, number: int, message: str) -> None:
        from optuna.trial import TrialState

        self._open_trial(number).set_user_attr("error", message)
        self.optuna_study.tell(number, state=TrialState.FAIL, skip_if_finished=True)

    def _lock(self, name: str) -> Path:
        return self.folder / locks.FOLDER / f"search-{name}"


def describe_progress(options: SearchOptions, config: DictConfig, trials: int) -> str:
    """How far a search has come, and what the same command would do, in a sentence.

    Args:
        trials: how many it is to have.
    """
    states: Counter[str] = Counter()
    if "://" in options.storage or Path(options.storage).is_file():
        import optuna

        with quiet():
            storage = open_storage(options.storage)
            names = optuna.get_all_study_names(storage)
            if str(config.study) in names:
                loaded = optuna.load_study(study_name=str(config.study), storage=storage)
                states.update(t.state.name.lower() for t in loaded.get_trials(deepcopy=False))
    under_way, waiting = states.pop("running", 0), states.pop("waiting", 0)
    done = ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "none"
    left = max(0, trials - states.total() - under_way)
    return (
        f"a search of {trials} trials: {done} so far, {under_way} to be continued (as far as no "
        f"other process works on them), {max(left, waiting)} to run"
    )


def value_of(record: Record, name: str) -> float:
    """What a run gives for an objective; NaN where it gives nothing."""
    value = record.metrics.get(name) if "/" in name else look_up(record, name)
    return float(value) if isinstance(value, int | float) else math.nan
