"""Making a fair study on a launcher, and saying how far one has come."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from omegaconf import DictConfig

from unrolled.config.groups import ConfigGroups
from unrolled.errors import RunError
from unrolled.runs.record import find_runs, look_up, read_record
from unrolled.runs.spec import RunSpec
from unrolled.runs.status import run_status
from unrolled.sweeps.display import Display
from unrolled.sweeps.expansion import Composer, Plan, each_fold
from unrolled.sweeps.fair.study import FairRuns
from unrolled.sweeps.launching import make_pool_of_few
from unrolled.sweeps.pools.pool import drive
from unrolled.training.run import Outcome


def make_fair_study(
    plan: Plan, groups: ConfigGroups, specify: Callable[[DictConfig], RunSpec], display: Display
) -> list[Outcome]:
    """Make the runs of a fair study.

    Args:
        groups: to compose runs on.
        specify: makes a run's spec.

    Returns:
        What became of each.
    """
    assert plan.fair is not None
    config = plan.configs[0]
    runs = FairRuns(plan, Composer(groups, plan.varied), specify, display)
    pool = make_pool_of_few(plan, groups, runs.lines, plan.jobs * len(each_fold(config)))
    outcomes: list[Outcome] = []

    def ended(spec: RunSpec, outcome: Outcome) -> None:
        if outcome.status == "paused":
            display.pause(spec)
        else:
            outcomes.append(outcome)
            display.end(spec, outcome)
        runs.ended(spec, outcome)

    drive(pool, runs, ended, display.begin, fail_fast=config.fail_fast)
    return outcomes + runs.given_up


def describe_progress(plan: Plan, specify: Callable[[DictConfig], RunSpec]) -> str:
    """How far a fair study has come, in a sentence."""
    assert plan.fair is not None
    conditions, seeds = plan.fair.conditions, len(plan.fair.seeds)
    specs = [specify(one) for config in plan.configs for one in each_fold(config)]
    states = Counter(run_status(spec).state for spec in specs)
    done = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    folders = find_runs(specs[0].study) if specs[0].study.is_dir() else []
    finals = sum(_is_final(folder) for folder in folders)
    return (
        f"a fair study of {len(conditions)} searches of {len(conditions[0].tried)} trials ({done})"
        f", then {seeds} final runs of the best of each ({finals} finished so far)"
    )


def _is_final(folder: Path) -> bool:
    try:
        record = read_record(folder)
    except RunError:
        # Whoever lists or compares runs says what is wrong with it.
        return False
    return record.state == "finished" and look_up(record, "config.trial.role") == "final"
