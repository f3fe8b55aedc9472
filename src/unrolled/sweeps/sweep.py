"""Many runs from one command line, by Hydra's sweeper and launcher of choice."""

import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hydra._internal.callbacks import Callbacks
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig
from rich.console import Console

from unrolled.config.compose import PRIMARY, Plan
from unrolled.config.locations import frozen
from unrolled.config.panel import Panel, control_panel
from unrolled.errors import ConfigError, StorageError
from unrolled.runs.files import remove_leftovers, temporary_path, write_json
from unrolled.runs.identity import study_folder
from unrolled.runs.processes import this_process
from unrolled.runs.sweep_state import SWEEP
from unrolled.sweeps.display import Display
from unrolled.sweeps.job import job
from unrolled.sweeps.launching import compose, require_launcher
from unrolled.training.prepare import check_run, prepare_data
from unrolled.training.run import Outcome, Standing, standing

log = logging.getLogger(__name__)

RETRY = "retry_failed=true"
# How runs end, in the order in which they are told.
STATUSES = ("finished", "skipped", "pruned", "interrupted", "busy", "failed")
# What a dry run says would become of a run in each state.
WOULD = {
    "new": "run",
    "finished": "skip",
    "failed": "leave",
    "busy": "leave to the process that works on it",
}


def sweep(
    plan: Plan, console: Console, config_dir: str | None = None, command: str = ""
) -> list[Outcome]:
    """Make all runs of a sweep, and show how they get on.

    Args:
        command: as it was typed, for whoever reads of the sweep later.

    Raises:
        UnrolledError: the sweep cannot begin; nothing was run.
        KeyboardInterrupt: after the runs under way have written their records.
    """
    require_launcher(plan.hydra.launcher, plan.configs[0])
    require_sweeper(plan.hydra.sweeper, plan.configs[0])
    # Once here, for the error to come first, and so that the runs find the tokenized text in the
    # cache.
    for variant in plan.configs:
        check_run(variant)
        prepare_data(variant)
    config = plan.configs[0]
    # A sweep over studies or experiments has several.
    folders = {study_folder(variant) for variant in plan.configs}
    # Wall clock, since it is compared with the times at which other processes write.
    started = time.time()
    state: dict[str, object] = {
        "started": started,
        "ended": None,
        "jobs": plan.jobs,
        "command": command,
        "process": this_process(),
    }
    _write(folders, state)
    try:
        with (
            frozen(temporary_path(study_folder(config) / "conf"), config_dir) as own,
            control_panel(own) as panel,
            Display(folders, console, total=plan.jobs, since=started),
        ):
            batches = panel.hydra.multirun(
                config_name=PRIMARY,
                task_function=job,
                overrides=_overrides(plan),
                with_log_configuration=False,
            )
    finally:
        try:
            _write(folders, {**state, "ended": time.time()})
        except StorageError as error:
            # The outcomes are worth more than this note; its process is gone, which tells enough.
            log.warning("%s", error)
    return [result.return_value for batch in batches for result in batch]


def dry_run(plan: Plan, console: Console, config_dir: str | None = None) -> None:
    """Say for each run of a command line what would become of it, and do nothing.

    Raises:
        UnrolledError: the sweep could not begin.
    """
    require_launcher(plan.hydra.launcher, plan.configs[0])
    require_sweeper(plan.hydra.sweeper, plan.configs[0])
    if is_search(plan.hydra.sweeper):
        from unrolled.sweeps.search.study import Options, standing_of

        options = Options.of(plan.hydra.sweeper, plan.configs[0])
        told = standing_of(options, plan.configs[0], plan.jobs)
        console.print(told, highlight=False, soft_wrap=True)
        return
    counts: Counter[str] = Counter()
    with _configs(plan, config_dir) as configs:
        for config in configs:
            found = standing(config)
            would = _would(found, retry=retry_of(config, plan.sweep))
            counts[would.partition(" ")[0]] += 1
            console.print(f"{found.folder.name}  {would}", highlight=False, soft_wrap=True)
    words = ", ".join(f"{count:,} {word}" for word, count in counts.items())
    console.print(f"{counts.total():,} runs: {words}", highlight=False)


def is_search(sweeper: DictConfig) -> bool:
    """Whether a sweeper decides on each run when it begins."""
    return str(sweeper._target_).endswith("OptunaSweeper")


def require_sweeper(sweeper: DictConfig, config: DictConfig) -> None:
    """Refuse options of a search that cannot work, before any data is read.

    Raises:
        ConfigError: which option, and the way out.
    """
    if is_search(sweeper):
        from unrolled.sweeps.search.study import Options

        Options.of(sweeper, config)


def retry_of(config: DictConfig, swept: bool) -> bool:
    """Whether a run that failed before is tried again: a sweep's when asked, a single one unless
    told otherwise, since typing its command is asking."""
    return not swept if config.retry_failed is None else bool(config.retry_failed)


def summarize(outcomes: Sequence[Outcome], console: Console, command: str = "") -> int:
    """Say how the runs of a sweep ended, and why some did not finish.

    Returns:
        How many are left to do.
    """
    counts = Counter(outcome.status for outcome in outcomes)
    always = ("finished", "skipped", "failed")
    words = [f"{counts[s]} {s}" for s in STATUSES if counts[s] or s in always]
    console.print(", ".join(words), highlight=False)
    for status in ("interrupted", "busy", "failed"):
        causes: dict[str, list[str]] = {}
        for outcome in outcomes:
            if outcome.status == status:
                name, _, cause = outcome.message.partition(": ")
                causes.setdefault(cause or name, []).append(name if cause else "")
        for cause, names in causes.items():
            who = f"{len(names)} runs" if len(names) > 1 else names[0]
            text = f"  {status}: {who}: {cause}" if who else f"  {status}: {cause}"
            console.print(text, highlight=False, markup=False, soft_wrap=True)
    again = command or "the same command"
    if counts["interrupted"] or counts["busy"]:
        console.print(f"to go on with what is left: {again}", highlight=False, soft_wrap=True)
    if counts["failed"] and RETRY not in again:
        console.print(f"to retry what failed: {again} {RETRY}", highlight=False, soft_wrap=True)
    return counts["failed"] + counts["interrupted"] + counts["busy"]


def _overrides(plan: Plan) -> list[str]:
    """What Hydra is told: the command line, and the names of runs by all that varies."""
    config = plan.configs[0]
    names = [*config.name_by, *(key for key in plan.varied if key not in config.name_by)]
    return [*plan.overrides, f"name_by=[{','.join(names)}]"]


@contextmanager
def _configs(plan: Plan, config_dir: str | None) -> Iterator[Iterator[DictConfig]]:
    """Every run's configuration, as Hydra's own sweeper would have it."""
    if not plan.sweep:
        yield iter(plan.configs)
        return
    with control_panel(config_dir) as panel:
        yield _swept(panel, plan)


def _swept(panel: Panel, plan: Plan) -> Iterator[DictConfig]:
    if not str(plan.hydra.sweeper._target_).endswith("BasicSweeper"):
        raise ConfigError(
            f"--dry-run: {plan.hydra.sweeper._target_} does not say what it would run"
        )
    config = panel.hydra.compose_config(PRIMARY, _overrides(plan), RunMode.MULTIRUN)
    stored = config.hydra.sweeper.params or {}
    typed = config.hydra.overrides.task
    parsed = panel.parse([*(f"{key}={value}" for key, value in stored.items()), *typed])
    (batch,) = BasicSweeper.split_arguments(parsed, None)
    context = HydraContext(panel.hydra.config_loader, Callbacks())
    for task in compose(context, config, batch):
        yield task.config


def _would(found: Standing, retry: bool) -> str:
    if found.state == "failed" and retry:
        return "retry"
    if found.state in WOULD:
        return WOULD[found.state]
    step = found.record.history[-1]["step"] if found.record and found.record.history else 0
    return f"continue (its last validation was at step {step:,.0f})" if step else "continue"


def _write(folders: Iterable[Path], state: dict[str, object]) -> None:
    """What another terminal knows the sweep by."""
    for folder in folders:
        remove_leftovers(folder)
        write_json(folder / SWEEP, state)
