"""Many runs from one command line, by Hydra's sweeper and launcher of choice."""

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console

from unrolled.config.compose import PRIMARY, Plan
from unrolled.config.panel import control_panel
from unrolled.sweeps.display import Display
from unrolled.sweeps.job import job
from unrolled.training.identity import study_folder
from unrolled.training.job import Outcome
from unrolled.training.prepare import prepare_data, require_monitor
from unrolled.training.record import this_process, write_json

SWEEP = "sweep.json"


def sweep(plan: Plan, console: Console, config_dir: str | None = None) -> list[Outcome]:
    """Make all runs of a sweep, and show how they get on.

    Raises:
        UnrolledError: the sweep cannot begin; nothing was run.
        KeyboardInterrupt: after the runs under way have written their records.
    """
    config = plan.configs[0]
    # Once here, for the error to come first, and so that the runs find the tokenized text in the
    # cache.
    for variant in plan.configs:
        require_monitor(variant)
        prepare_data(variant)
    # A sweep over studies or experiments has several.
    folders = {study_folder(variant) for variant in plan.configs}
    # Wall clock, since it is compared with the times at which other processes write.
    started = time.time()
    state: dict[str, object] = {
        "started": started,
        "ended": None,
        "jobs": plan.jobs,
        "process": this_process(),
    }
    _write(folders, state)
    names = [*config.name_by, *(key for key in plan.varied if key not in config.name_by)]
    quoted = ",".join(names)
    try:
        with (
            control_panel(config_dir) as panel,
            Display(folders, console, total=plan.jobs, since=started),
        ):
            batches = panel.hydra.multirun(
                config_name=PRIMARY,
                task_function=job,
                overrides=[*plan.overrides, f"name_by=[{quoted}]"],
                with_log_configuration=False,
            )
    finally:
        _write(folders, {**state, "ended": time.time()})
    return [result.return_value for batch in batches for result in batch]


def _write(folders: Iterable[Path], state: dict[str, object]) -> None:
    """What another terminal knows the sweep by."""
    for folder in folders:
        write_json(folder / SWEEP, state)


def summarize(outcomes: Sequence[Outcome], console: Console) -> int:
    """Say how the runs of a sweep ended, and why some failed.

    Returns:
        How many failed.
    """
    counts = Counter(outcome.status for outcome in outcomes)
    words = [f"{counts[status]} {status}" for status in ("finished", "skipped", "failed")]
    console.print(", ".join(words), highlight=False)
    for outcome in outcomes:
        if outcome.status == "failed":
            console.print(f"  {outcome.message}", highlight=False, markup=False, soft_wrap=True)
    if counts["failed"]:
        console.print("type the same command again to retry the failed runs", highlight=False)
    return counts["failed"]
