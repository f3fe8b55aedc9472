"""Distributed data parallel: a job starts its own ranks.

Lightning would start them by running the command line again, which under a sweep's launcher is not
the job's. Here each further rank is a process that gets the job's configuration, and the first is
the job.
"""

import contextlib
import multiprocessing
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from omegaconf import DictConfig, OmegaConf


@contextlib.contextmanager
def all_ranks(config: DictConfig, folder: Path) -> Iterator[None]:
    """Start ranks 1, 2, … for the time of the block, in which this process is rank 0.

    Raises:
        RuntimeError: a rank ended with an error; its own traceback is on standard error.
    """
    if config.trainer.strategy != "ddp" or config.trainer.devices == 1:
        yield
        return
    world_size = config.trainer.devices
    port = _free_port()
    # A fresh interpreter each: a forked one would inherit threads and locks that do not work.
    context = multiprocessing.get_context("spawn")
    text = OmegaConf.to_yaml(config)
    others = [
        context.Process(
            target=_rank, args=(text, str(folder), rank, world_size, port), daemon=True
        )
        for rank in range(1, world_size)
    ]
    with _environment(0, world_size, port):
        for process in others:
            process.start()
        try:
            yield
            for process in others:
                process.join()
        finally:
            for process in others:
                if process.is_alive():
                    process.terminate()
                process.join()
            _leave_group()
    failed = [rank for rank, process in enumerate(others, 1) if process.exitcode]
    if failed:
        raise RuntimeError(f"rank {failed[0]} of {world_size} failed; its traceback is above")


def _rank(text: str, folder: str, rank: int, world_size: int, port: int) -> None:
    from unrolled.training.job import prepare_data
    from unrolled.training.run import fit_and_test

    config = OmegaConf.create(text)
    assert isinstance(config, DictConfig)
    with _environment(rank, world_size, port):
        fit_and_test(config, prepare_data(config), Path(folder), None)
        _leave_group()


@contextlib.contextmanager
def _environment(rank: int, world_size: int, port: int) -> Iterator[None]:
    """The variables by which Lightning knows that its ranks are started already."""
    values = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "NODE_RANK": "0",
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(world_size),
    }
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _leave_group() -> None:
    import torch.distributed

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
