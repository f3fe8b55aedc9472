"""The runs of a fair study: which are to be made next follows from the records of those that are
there, so that nothing is lost with the process that makes them, and no order changes a result.

Each condition's trials run side by side up to the first share of ``give_up_at``, the best of them
up to the next, and the rest to the end (successive halving, Jamieson & Talwalkar 2016; no trial
goes on before all of its condition have come as far, so that a slow one is as likely to). Then the
best trial is trained with each of the final seeds.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from omegaconf import DictConfig

from unrolled.errors import BusyError
from unrolled.runs.record import Record
from unrolled.runs.spec import RunSpec
from unrolled.runs.status import run_status
from unrolled.sweeps.display import Display
from unrolled.sweeps.expansion import Composer, Plan, each_fold, has_open_folds, name_by
from unrolled.sweeps.fair.design import Condition
from unrolled.sweeps.worker import retries
from unrolled.training.run import Outcome, record_pruned

# A trial that failed, or that came to no number, is behind all others.
WORST = math.inf


@dataclass(eq=False)
class _Trial:
    """A trial, or, with ``seed``, a final run of one: a run, or one of each fold.

    Attributes:
        stage: which of the shares of ``give_up_at`` it is on its way to; None: its end.
        left: its runs that have not come as far.
    """

    condition: Condition
    number: int
    config: DictConfig
    seed: str | None = None
    stage: int | None = None
    specs: list[RunSpec] = field(default_factory=list)
    left: set[RunSpec] = field(default_factory=set)
    scores: list[float] = field(default_factory=list)
    failed: bool = False

    @property
    def score(self) -> float:
        """The mean over its runs; less is better."""
        return sum(self.scores) / len(self.scores)


class FairRuns(Iterator[RunSpec]):
    """The specs of a fair study's runs: there may be none for now, and another one later.

    Args:
        plan: whose ``configs`` are those of every trial.
        composer: of final runs.
        specify: makes a run's spec.

    Attributes:
        lines: all overrides of each run.
        given_up: what became of the trials that did not go on.
    """

    def __init__(
        self,
        plan: Plan,
        composer: Composer,
        specify: Callable[[DictConfig], RunSpec],
        display: Display,
    ) -> None:
        assert plan.fair is not None
        self.design = plan.fair
        self.composer = composer
        self.specify = specify
        self.display = display
        self.lines: dict[RunSpec, list[str]] = {}
        self.given_up: list[Outcome] = []
        self._waiting: deque[RunSpec] = deque()
        self._trials: dict[RunSpec, _Trial] = {}
        # Of each condition, the trials that are still in its search.
        self._alive: dict[str, list[_Trial]] = {}
        configs = iter(plan.configs)
        for condition in self.design.conditions:
            numbers = range(len(condition.tried))
            trials = [_Trial(condition, number, next(configs)) for number in numbers]
            self._alive[condition.label] = trials
            for trial in trials:
                self._send(trial, 0)
        for condition in self.design.conditions:
            self._advance(condition)

    def __next__(self) -> RunSpec:
        if not self._waiting:
            raise StopIteration
        return self._waiting.popleft()

    def ended(self, spec: RunSpec, outcome: Outcome) -> None:
        """Take in what became of a run."""
        trial = self._trials[spec]
        if outcome.status in ("interrupted", "busy"):
            # It stays where it is: the same command goes on with it.
            return
        record = run_status(spec).record
        self._note(trial, spec, record, failed=outcome.status == "failed")
        if trial.seed is None:
            self._advance(trial.condition)

    def _send(self, trial: _Trial, stage: int) -> None:
        """Let a trial's runs go on to a stage, as far as they have not come there."""
        shares = self.design.options.give_up_at
        trial.stage = stage if trial.seed is None and stage < len(shares) else None
        until = None if trial.stage is None else shares[trial.stage]
        lines = self.design.trial(trial.condition, trial.number, trial.seed, until)
        trial.scores = []
        config = trial.config.copy()
        config.trial.until = until
        trial.specs = [self.specify(one) for one in each_fold(config)]
        trial.left = {*trial.specs}
        for spec in trial.specs:
            fold = [f"fold={spec.config.fold}"] if has_open_folds(config) else []
            self.lines[spec] = [*lines, name_by(config), *fold]
            self._trials[spec] = trial
            status = run_status(spec)
            failed = status.state == "failed" and not retries(spec.config, swept=True)
            there = status.state in ("paused", "pruned", "interrupted")
            if until is not None and (
                failed or status.state == "finished" or (there and _reached(status.record, until))
            ):
                self._note(trial, spec, status.record, failed=failed)
            else:
                self._waiting.append(spec)

    def _note(self, trial: _Trial, spec: RunSpec, record: Record | None, *, failed: bool) -> None:
        """Take in that a run has come to its trial's stage."""
        trial.left.discard(spec)
        trial.failed = trial.failed or failed
        score = None
        if record is not None and not failed:
            until = None if trial.stage is None else self.design.options.give_up_at[trial.stage]
            score = _value(record, self.design.options.objective, until)
        if score is None or math.isnan(score):
            score = WORST
        elif not self.design.options.lower_is_better:
            score = -score
        trial.scores.append(score)

    def _advance(self, condition: Condition) -> None:
        """Decide which trials go on, as often as all of a condition's have come as far."""
        while (alive := self._alive[condition.label]) and not any(one.left for one in alive):
            ranked = sorted(alive, key=lambda trial: (trial.failed, trial.score, trial.number))
            stage = max((one.stage for one in alive if one.stage is not None), default=None)
            if stage is None:
                self._alive[condition.label] = []
                self._finish(condition, ranked[0])
                return
            kept = ranked[: max(1, math.ceil(self.design.options.keep * len(ranked)))]
            # What failed would only fail again.
            kept = [trial for trial in kept if not trial.failed]
            for place, trial in enumerate(ranked):
                if trial not in kept:
                    self._give_up(trial, place + 1, len(ranked))
            self._alive[condition.label] = sorted(kept, key=lambda trial: trial.number)
            if not kept:
                self._finish(condition, ranked[0])
            for trial in self._alive[condition.label]:
                self._send(trial, stage + 1)

    def _give_up(self, trial: _Trial, place: int, of: int) -> None:
        assert trial.stage is not None
        share = self.design.options.give_up_at[trial.stage]
        message = f"given up after {share:.3g} of its steps, {place} of {of} trials"
        for spec in trial.specs:
            if run_status(spec).state not in ("paused", "interrupted", "pruned"):
                continue
            try:
                outcome = Outcome("pruned", record_pruned(spec, message), message)
            except BusyError as error:
                outcome = Outcome("busy", None, str(error))
            self.given_up.append(outcome)
            self.display.end(spec, outcome)

    def _finish(self, condition: Condition, best: _Trial) -> None:
        """Queue the final runs of a condition, before all searches that are left."""
        tried = len(condition.tried)
        settings = ", ".join(condition.tried[best.number])
        if best.score == WORST:
            self.display.say(f"{condition.label}: none of its {tried} trials came to a figure")
            return
        options = self.design.options
        value = best.score if options.lower_is_better else -best.score
        self.display.say(
            f"{condition.label}: the best of {tried} trials is {settings} "
            f"({options.objective} {value:.4g})"
        )
        before = list(self._waiting)
        self._waiting.clear()
        for seed in self.design.seeds:
            lines = self.design.trial(condition, best.number, seed)
            config = self.composer.compose(lines, condition.keys)
            self._send(_Trial(condition, best.number, config, seed), 0)
        self._waiting.extend(before)


def _reached(record: Record | None, until: float) -> bool:
    """Whether a run has validated at a share of its steps, or after."""
    return record is not None and _last_step(record, until) is not None


def _last_step(record: Record, until: float) -> float | None:
    """The step of the first validation at or after a share of a run's steps; None: none yet."""
    total = record.timing.get("total_steps")
    if not isinstance(total, int):
        return None
    steps = [entry["step"] for entry in record.history if entry["step"] >= until * total - 1e-6]
    return min(steps, default=None)


def _value(record: Record, objective: str, until: float | None) -> float | None:
    """The best of a run's validations up to a share of its steps, as its best checkpoint's is."""
    last = math.inf if until is None else _last_step(record, until)
    values = [
        entry[objective]
        for entry in record.history
        if objective in entry and (last is None or entry["step"] <= last)
    ]
    better = record.description.metric(objective).lower_is_better
    values = [value for value in values if not math.isnan(value)]
    return (min if better else max)(values, default=None)
