"""``unrolled.train``: one run, as the command makes it."""

from typing import TYPE_CHECKING, Any

from unrolled.api.composing import one_config
from unrolled.api.host import host_as_before, own_code_as_it_is_now, torch_as_before
from unrolled.api.overrides import Given
from unrolled.api.progress import progress_console
from unrolled.api.run import Run

if TYPE_CHECKING:
    from omegaconf import DictConfig


def train(
    *overrides: "Given | DictConfig",
    config_dir: str | None = None,
    progress: bool = True,
    **values: Any,
) -> Run:
    """Train one model, or go on with it, as ``unrolled train`` does.

    A run that is finished is skipped, and this says so; one that was interrupted goes on from its
    last checkpoint to bitwise the same result. Ctrl-C, or a notebook's interrupt, ends the run
    after its step: KeyboardInterrupt is raised, and the same call goes on. Random states, signal
    handlers, logging and threads of the calling program are afterwards as they were before.

    Args:
        overrides: lines such as ``"cell=gru"``, lists of them, mappings such as
            ``{"trainer.max_steps": 200}``, or first a configuration of ``unrolled.compose``.
        config_dir: a folder with config groups of your own.
        progress: whether to show how far the run is, in a terminal or a notebook's cell.
        values: the same as keywords: ``cell="gru"``, ``trainer={"max_steps": 200}``. A cell, task
            or data set of your own is a class or function of a module:
            ``cell=my_cells.Leaky``, ``cell={"_target_": my_cells.Leaky, "leak": 0.3}``.

    Returns:
        The run, finished or skipped.

    Raises:
        ConfigError: a key, choice or value that there is not; the message names the nearest.
        DataError: the data cannot be read.
        BusyError: another process is working on the run.
        DivergedError, DeviceError, BudgetError, TimeLimitError, StorageError: see
            ``unrolled.errors``; the run's record says the same.
        KeyboardInterrupt: it was stopped; its record says so.

    >>> import unrolled
    >>> tiny = {"dataset": "sentence", "task.batch_size": 1, "trainer.max_steps": 20}
    >>> run = unrolled.train(tiny, cell="gru", model={"hidden_size": 16}, progress=False)
    >>> run.status, run.metrics["test/perplexity"] > 1
    ('finished', True)
    >>> unrolled.train(run.config, progress=False).outcome
    'skipped'
    >>> unrolled.train(cell="gruu")
    Traceback (most recent call last):
    unrolled.errors.ConfigError: cell=gruu: no such choice; did you mean gru? ...
    """
    with host_as_before():
        config = one_config(overrides, values, config_dir)
        with own_code_as_it_is_now([config]):
            return _made(config, progress)


def _made(config: "DictConfig", progress: bool) -> Run:
    from unrolled.commands.train import require_own
    from unrolled.runs.status import run_status
    from unrolled.sweeps.sweep import specify_one, train_one

    require_own([config])
    spec = specify_one(config)
    console = progress_console(progress)
    if run_status(spec).state == "finished":
        outcome = train_one(spec, console)
    else:
        with torch_as_before():
            outcome = train_one(spec, console)
    return Run(outcome.folder or spec.folder, outcome.status)
