"""Working inside somebody's program and leaving it as it was.

The command has a process to itself. A notebook goes on after a run: with its own signal handlers,
logging, random states, search path and threads, and with files that may have changed since.
"""

import contextlib
import importlib
import logging
import os
import random
import sys
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from unrolled.config.build import OURS
from unrolled.config.schema import BUILT
from unrolled.config.sources import find_source
from unrolled.config.working_folder import search_working_folder
from unrolled.tasks.build import forget_data
from unrolled.training.imports import quick_imports
from unrolled.training.stopping import signals_as_before

# What training tells processes that it starts, and what Lightning leaves behind.
VARIABLES = ("PYTHONSAFEPATH", "PL_GLOBAL_SEED", "PL_SEED_WORKERS", "CUBLAS_WORKSPACE_CONFIG")
LOGGERS = ("pytorch_lightning", "lightning.pytorch", "lightning_fabric")


@contextlib.contextmanager
def host_as_before() -> Iterator[None]:
    """Look for modules of the working folder and read files anew, and leave the host's process as
    it was.

    What torch keeps for the whole process is ``torch_as_before``'s.
    """
    importlib.invalidate_caches()
    forget_data()
    with (
        signals_as_before(),
        warnings.catch_warnings(),
        _search_path_as_before(),
        _logging_as_before(),
        _random_states_as_before(),
    ):
        search_working_folder()
        yield


@contextlib.contextmanager
def torch_as_before() -> Iterator[None]:
    """Leave torch's random states, threads and ways to compute as they were; imports it."""
    with quick_imports():
        import torch

    from torch.backends import cudnn

    threads = torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    backends = cudnn.deterministic, cudnn.benchmark
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        cudnn.deterministic, cudnn.benchmark = backends


@contextlib.contextmanager
def own_code_as_it_is_now(configs: Iterable[DictConfig]) -> Iterator[None]:
    """Import a person's own cells, tasks and data sets anew for the time of the block.

    A run is named by their code as it stands in the file, so that code must be what runs, whatever
    the notebook imported earlier. Modules beside them are imported anew, too.
    """
    places = {
        path.resolve().parent
        for config in configs
        for group in BUILT
        if (target := OmegaConf.select(config, f"{group}._target_")) is not None
        and not str(target).startswith(OURS)
        and (path := find_source(str(target).rpartition(".")[0])) is not None
    }
    # Not __main__, which is the notebook or the script itself.
    names = {name for name in sys.modules if name != "__main__" and _lies_in(name, places)}
    before = {name: sys.modules.pop(name) for name in names}
    try:
        yield
    finally:
        sys.modules.update(before)


def _lies_in(name: str, places: Iterable[Path]) -> bool:
    origin = getattr(sys.modules[name], "__file__", None)
    return origin is not None and any(Path(origin).resolve().parent == place for place in places)


@contextlib.contextmanager
def _search_path_as_before() -> Iterator[None]:
    path = [*sys.path]
    variables = {name: os.environ.get(name) for name in VARIABLES}
    try:
        yield
    finally:
        sys.path[:] = path
        for name, value in variables.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _logging_as_before() -> Iterator[None]:
    levels = {name: logging.getLogger(name).level for name in LOGGERS}
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


@contextlib.contextmanager
def _random_states_as_before() -> Iterator[None]:
    import numpy as np

    python, numpy = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
