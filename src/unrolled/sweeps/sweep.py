"""One run or many from one command line, on the launcher of choice."""

import json
import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from unrolled.config.compose import PRIMARY
from unrolled.config.groups import config_groups
from unrolled.config.locations import frozen
from unrolled.errors import ConfigError, StorageError
from unrolled.runs.files import remove_leftovers, temporary_path, write_json
from unrolled.runs.processes import this_process
from unrolled.runs.progress import PROGRESS, read_progress
from unrolled.runs.spec import RunSpec
from unrolled.runs.status import RunStatus, run_status
from unrolled.runs.sweep_state import SWEEP, read_sweep
from unrolled.runs.text import printable
from unrolled.sweeps.display import ENDED as ENDINGS
from unrolled.sweeps.display import Display
from unrolled.sweeps.expansion import Plan, each_fold, has_open_folds, name_by
from unrolled.sweeps.launching import is_ours, make_pool, require_launcher
from unrolled.sweeps.lines import recorded_end
from unrolled.sweeps.pools.hydra import HydraPool, makeable
from unrolled.sweeps.pools.pool import ENDED, Pool, drive
from unrolled.sweeps.worker import retries, work_on_config
from unrolled.tasks.build import check_task, prepare_data
from unrolled.training.run import Outcome, make_run, require_writable
from unrolled.training.trackers.packages import require_packages

log = logging.getLogger(__name__)

RETRY = "retry_failed=true"
# What decides what data a run has.
NODES = ("task", "dataset", "tokenizer", "validation")
# How runs end, in the order in which they are counted.
STATUSES = ("finished", "skipped", "pruned", "interrupted", "busy", "failed")
# What a dry run says would become of a run in each state.
WOULD = {
    "new": "run",
    "finished": "skip",
    "failed": "leave",
    "busy": "leave to the process that works on it",
}


class Specifier:
    """Makes the specs of runs; each distinct data set is prepared once."""

    def __init__(self) -> None:
        self._fingerprints: dict[str, str] = {}

    def __call__(self, config: DictConfig) -> RunSpec:
        """The run that a configuration, as ``plain`` gives it, describes.

        Raises:
            UnrolledError: bad input.
        """
        check_task(config)
        require_packages(config)
        nodes = [OmegaConf.to_container(config[k]) for k in NODES]
        # The fingerprint is that of the data before it is split, whatever the fold.
        key = json.dumps([*nodes, config.folds, config.paths.cache])
        if key not in self._fingerprints:
            self._fingerprints[key] = prepare_data(config).fingerprint
        return RunSpec.of(config, self._fingerprints[key])


def specify_one(config: DictConfig) -> RunSpec:
    """The spec of a single run, before any display: a missing file is one sentence and nothing
    else.

    Raises:
        UnrolledError: bad input, or the output folder cannot be written.
    """
    require_writable(config)
    return Specifier()(config)


def train_one(spec: RunSpec, console: Console) -> Outcome:
    """Make a single run in this process, and say where it is.

    Raises:
        UnrolledError: bad input, during the run.
        KeyboardInterrupt: stopped by hand; the record says so.
    """
    with Display(console, total=1) as display:
        display.begin(spec)
        outcome = make_run(spec, retry=retries(spec.config, swept=False))
        display.end(spec, outcome)
    console.print(f"{outcome.folder}", highlight=False, markup=False, soft_wrap=True)
    return outcome


def sweep(plan: Plan, console: Console, command: str = "") -> list[Outcome]:
    """Make all runs of a sweep, and show how they get on.

    Args:
        command: as it was typed, for whoever reads of the sweep later.

    Raises:
        UnrolledError: the sweep cannot begin; nothing was run.
        KeyboardInterrupt: after the runs under way have written their records.
    """
    require_writable(plan.configs[0])
    require_launcher(plan.hydra.launcher, plan.configs[0])
    require_sweeper(plan)
    specify = Specifier()
    # Of a trial the first fold, by which its values are checked as well as by any.
    folds = [each_fold(config) for config in plan.configs]
    specs = [specify(config) for config, *_ in folds]
    first, runs = specs[0], plan.jobs * len(folds[0])
    # A sweep over studies or experiments has several.
    studies = list(dict.fromkeys(spec.study for spec in specs))
    known = plan.is_grid or plan.is_search or plan.fair is not None
    ours = is_ours(plan.hydra.launcher) and known
    with ExitStack() as stack:
        stack.enter_context(_announced(studies, runs, command))
        # Others' launchers and sweepers say nothing of a run until all of its batch have ended.
        follow = () if ours else studies
        # A sweeper of others decides by itself how many there are.
        total = runs if known else None
        display = stack.enter_context(Display(console, total=total, follow=follow))
        if plan.is_grid and ours:
            pool = make_pool(plan.hydra.launcher, first.config, len(specs))
            return _make_all(pool, specs, display)
        # What composes runs later reads a copy of the configuration as it is now.
        copy = temporary_path(first.study / "conf")
        own = stack.enter_context(frozen(copy, plan.config_dir))
        groups = stack.enter_context(config_groups(own))
        if plan.fair is not None:
            from unrolled.sweeps.fair.runs import make_fair_study

            return make_fair_study(plan, groups, specify, display)
        if plan.is_search:
            from unrolled.sweeps.search.trials import make_trials

            return make_trials(plan, groups, specify, display)
        if plan.is_grid:
            batch = plan.hydra.sweeper.get("max_batch_size")
            lines = dict(zip(specs, plan.overrides, strict=True))
            return _make_all(HydraPool(groups, plan.typed, lines, batch), specs, display)
        begun = time.time()
        with makeable("hydra/sweeper"):
            batches = groups.hydra.multirun(
                config_name=PRIMARY,
                task_function=work_on_config,
                overrides=[*plan.typed, name_by(plan.configs[0])],
                with_log_configuration=False,
            )
        if batches is None:
            # Searches of others return nothing.
            return [outcome for study in studies for outcome in _ended_in(study, begun)]
        return [result.return_value for batch in batches for result in batch]


def dry_run(plan: Plan, console: Console) -> None:
    """Say for each run of a command line what would become of it, and do nothing.

    Raises:
        UnrolledError: the sweep could not begin.
    """
    require_launcher(plan.hydra.launcher, plan.configs[0])
    require_sweeper(plan)
    if plan.is_search:
        from unrolled.sweeps.search.options import SearchOptions
        from unrolled.sweeps.search.search import describe_progress

        options = SearchOptions.of(plan.hydra.sweeper, plan.configs[0])
        text = describe_progress(options, plan.configs[0], plan.jobs)
        console.print(text, highlight=False, markup=False, soft_wrap=True)
        return
    if plan.fair is not None:
        from unrolled.sweeps.fair.runs import describe_progress as describe_fair

        text = describe_fair(plan, Specifier())
        console.print(text, highlight=False, markup=False, soft_wrap=True)
        return
    if plan.sweep and not plan.is_grid:
        target = plan.hydra.sweeper._target_
        raise ConfigError(f"--dry-run: {target} does not say what it would run")
    specify = Specifier()
    counts: Counter[str] = Counter()
    for config in plan.configs:
        status = run_status(specify(config))
        would = _would(status, retry=retries(config, swept=plan.sweep))
        counts[would.partition(" ")[0]] += 1
        line = printable(f"{status.folder.name}  {would}")
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    words = ", ".join(f"{count:,} {word}" for word, count in counts.items())
    total = counts.total()
    console.print(f"{total:,} run{'s' * (total != 1)}: {words}", highlight=False)


def require_sweeper(plan: Plan) -> None:
    """Refuse what a sweeper cannot do, before any data is read.

    Raises:
        ConfigError: which option, and the way out.
    """
    if plan.is_search:
        from unrolled.sweeps.search.options import SearchOptions

        SearchOptions.of(plan.hydra.sweeper, plan.configs[0])
    elif (
        plan.sweep
        and plan.fair is None
        and (config := next(filter(has_open_folds, plan.configs), None)) is not None
    ):
        raise ConfigError(
            f"folds={config.folds}: {plan.hydra.sweeper._target_} knows of no folds; sweep them "
            f"yourself: fold={','.join(map(str, range(config.folds)))}"
        )


def summarize(outcomes: Sequence[Outcome], console: Console, command: str = "") -> int:
    """Say how many runs of a sweep ended in which way, and how to go on.

    Returns:
        How many are left to do.
    """
    counts = Counter(outcome.status for outcome in outcomes)
    always = ("finished", "skipped", "failed")
    words = [f"{counts[s]} {s}" for s in STATUSES if counts[s] or s in always]
    console.print(", ".join(words), highlight=False)
    again = printable(command or "the same command")
    lines = []
    if counts["interrupted"] or counts["busy"]:
        lines.append(f"to go on with what is left: {again}")
    if counts["failed"] and RETRY not in again:
        lines.append(f"to retry what failed: {again} {RETRY}")
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    return counts["failed"] + counts["interrupted"] + counts["busy"]


def _make_all(pool: Pool, specs: Sequence[RunSpec], display: Display) -> list[Outcome]:
    outcomes: dict[RunSpec, Outcome] = {}

    def ended(spec: RunSpec, outcome: Outcome) -> None:
        outcomes[spec] = outcome
        display.end(spec, outcome)

    drive(pool, specs, ended, display.begin, fail_fast=specs[0].config.fail_fast)
    kept = Outcome("interrupted", None, ENDED)
    return [outcomes.get(spec, kept) for spec in specs]


def _ended_in(study: Path, begun: float) -> Iterator[Outcome]:
    """How the runs of a study ended that have ended since ``begun``."""
    for path in sorted(study.glob(f"*/{PROGRESS}")):
        progress = read_progress(path.parent)
        if progress is not None and progress.updated >= begun and progress.stage in ENDINGS:
            yield Outcome(
                progress.stage, path.parent, recorded_end(path.parent, progress.stage)[1]
            )


def _would(status: RunStatus, retry: bool) -> str:
    if status.state == "failed" and retry:
        return "retry"
    if status.state in WOULD:
        return WOULD[status.state]
    history = status.record.history if status.record else []
    step = history[-1]["step"] if history else 0
    return f"continue (its last validation was at step {step:,.0f})" if step else "continue"


@contextmanager
def _announced(studies: Iterable[Path], runs: int, command: str) -> Iterator[None]:
    """Say in the folders of a sweep's studies that it is under way."""
    state: dict[str, object] = {
        # Wall clock, since it is compared with the times at which other processes write.
        "started": time.time(),
        "ended": None,
        "jobs": runs,
        "command": command,
        "process": this_process(),
    }
    for study in studies:
        remove_leftovers(study)
        write_json(study / SWEEP, state)
    try:
        yield
    finally:
        try:
            for study in studies:
                now = read_sweep(study)
                # Another sweep of the study may have begun since, and still be under way.
                if now is None or now["process"] == state["process"]:
                    write_json(study / SWEEP, {**state, "ended": time.time()})
        except StorageError as error:
            # The outcomes are worth more than this note; its process is gone, which says enough.
            log.warning("%s", error)
