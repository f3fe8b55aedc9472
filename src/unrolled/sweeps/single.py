"""One run from the command line, with the same live view that a sweep has."""

import time

from omegaconf import DictConfig
from rich.console import Console

from unrolled.runs.identity import study_folder
from unrolled.sweeps.display import Display
from unrolled.sweeps.sweep import retry_of
from unrolled.training.prepare import prepare_data
from unrolled.training.run import Outcome, run


def train_one(config: DictConfig, console: Console) -> Outcome:
    """Make one run and say where it is.

    Raises:
        UnrolledError: bad input, before or during the run.
        KeyboardInterrupt: stopped by hand; the record says so.
    """
    started = time.time()
    # Before the display, so that a missing file is one sentence and nothing else.
    prepare_data(config)
    with Display([study_folder(config)], console, total=1, since=started):
        outcome = run(config, retry=retry_of(config, swept=False))
    console.print(f"{outcome.folder}", highlight=False, soft_wrap=True)
    return outcome
