"""The runs of a search: asks for a trial when there is a place for it, and reports its result."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from unrolled.config.compose import compose_checked
from unrolled.config.groups import ConfigGroups
from unrolled.config.overrides import quoted
from unrolled.errors import ConfigError, UnrolledError
from unrolled.runs.spec import RunSpec
from unrolled.sweeps.display import Display
from unrolled.sweeps.expansion import (
    Composer,
    Plan,
    each_fold,
    has_open_folds,
    name_by,
    with_stored_sweep,
)
from unrolled.sweeps.launching import make_pool_of_few
from unrolled.sweeps.pools.pool import drive
from unrolled.sweeps.search.options import SearchOptions
from unrolled.sweeps.search.search import Search
from unrolled.sweeps.search.space import search_space, written
from unrolled.training.run import Outcome


def make_trials(
    plan: Plan, groups: ConfigGroups, specify: Callable[[DictConfig], RunSpec], display: Display
) -> list[Outcome]:
    """Make the trials of a search.

    Args:
        groups: to compose trials on.
        specify: makes a run's spec.

    Returns:
        What became of each, in the order in which they ended.

    Raises:
        ConfigError: the search cannot be begun.
    """
    config = plan.configs[0]
    overrides = with_stored_sweep(groups, groups.parse(plan.typed), plan.hydra)
    fixed = [override for override in overrides if not override.is_sweep_override()]
    space = search_space(overrides, compose_checked(groups, fixed))
    if not space:
        raise ConfigError(
            "a search needs something to vary, such as "
            "'optimizer.lr=tag(log, interval(1e-4, 1e-1))'"
        )
    options = SearchOptions.of(plan.hydra.sweeper, config)
    search = Search(options, config, space)
    trials = _Trials(search, Composer(groups, plan.varied), fixed, specify, display)
    runs = options.n_trials * len(each_fold(config))
    pool = make_pool_of_few(plan, groups, trials.lines, runs)
    outcomes: list[Outcome] = []

    def ended(spec: RunSpec, outcome: Outcome) -> None:
        trials.ended(spec, outcome)
        outcomes.append(outcome)
        display.end(spec, outcome)

    with search.working():
        drive(pool, trials, ended, display.begin, fail_fast=config.fail_fast)
    return outcomes + trials.refused


@dataclass(eq=False)
class _Trial:
    """A trial under way: its runs that have not ended, and what became of the others."""

    number: int
    left: set[RunSpec]
    outcomes: list[Outcome] = field(default_factory=list)


class _Trials(Iterator[RunSpec]):
    """The specs of trials' runs: there may be none for now, and another one later.

    A trial is one run, or, under cross-validation, one of each fold.

    Attributes:
        waiting: runs of the latest trial for which there was no place yet.
        trials: for each run its trial.
        lines: all overrides of each run.
        refused: trials that could not become runs.
    """

    def __init__(
        self,
        search: Search,
        composer: Composer,
        fixed: list[Override],
        specify: Callable[[DictConfig], RunSpec],
        display: Display,
    ) -> None:
        self.search = search
        self.display = display
        self.composer = composer
        self.fixed = [str(override.input_line) for override in fixed]
        self.specify = specify
        self.waiting: list[RunSpec] = []
        self.trials: dict[RunSpec, _Trial] = {}
        self.lines: dict[RunSpec, list[str]] = {}
        self.refused: list[Outcome] = []

    def __next__(self) -> RunSpec:
        if self.waiting:
            return self.waiting.pop(0)
        options = self.search.options
        while (trial := self.search.next_trial()) is not None:
            lines = [
                *self.fixed,
                *written(trial.params),
                f"trial.storage={quoted(options.storage)}",
                f"trial.search={quoted(str(self.search.config.study))}",
                f"trial.number={trial.number}",
                f"trial.objectives=[{','.join(map(quoted, options.objectives))}]",
            ]
            try:
                config = self.composer.compose(lines)
                specs = [self.specify(one) for one in each_fold(config)]
            except UnrolledError as error:
                # Values that are right one by one, and not together.
                self.refused.append(Outcome("failed", None, str(error)))
                self.search.tell(trial.number, self.refused[-1:])
                self.display.refused(f"trial {trial.number}", str(error))
                continue
            self.trials |= dict.fromkeys(specs, _Trial(trial.number, {*specs}))
            for spec in specs:
                fold = [f"fold={spec.config.fold}"] if has_open_folds(config) else []
                self.lines[spec] = [*lines, name_by(config), *fold]
            self.waiting = specs[1:]
            return specs[0]
        raise StopIteration

    def ended(self, spec: RunSpec, outcome: Outcome) -> None:
        """Tell the search what became of a trial, once that is known of all of its runs."""
        trial = self.trials[spec]
        trial.outcomes.append(outcome)
        trial.left.discard(spec)
        if outcome.status == "failed":
            # It has failed, so that what has not begun of it need not.
            trial.left.difference_update(self.waiting)
            self.waiting = [other for other in self.waiting if self.trials[other] is not trial]
        if not trial.left:
            self.search.tell(trial.number, trial.outcomes)
