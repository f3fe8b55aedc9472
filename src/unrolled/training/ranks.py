"""Distributed data parallel: a job starts its own ranks.

Lightning would start them by running the command line again, which under a sweep's launcher is not
the job's. Here each further rank is a process that gets the job's configuration, and the first is
the job.
"""

import contextlib
import multiprocessing
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

from unrolled.errors import UnrolledError
from unrolled.training.main_module import without_main_module
from unrolled.training.variables import environment_variables


@contextlib.contextmanager
def all_ranks(world_size: int, other: Callable[..., None], *args: object) -> Iterator[None]:
    """Start ranks 1, 2, … for the time of the block, in which this process is rank 0.

    Args:
        other: what each of the others does; a function of a module, called with ``args``.

    Raises:
        RuntimeError: a rank ended with an error; its own traceback is on standard error.
    """
    if world_size == 1:
        yield
        return
    variables = partial(_variables, world_size=world_size, port=_free_port())
    # A fresh interpreter each: a forked one would inherit threads and locks that do not work.
    context = multiprocessing.get_context("spawn")
    others = [
        context.Process(target=_rank, args=(variables(rank), other, args), daemon=True)
        for rank in range(1, world_size)
    ]
    with environment_variables(variables(0)):
        with without_main_module():
            for process in others:
                process.start()
        try:
            yield
            for process in others:
                process.join()
        finally:
            for process in others:
                # A rank that waits for one that is gone does not end by being asked to.
                if process.is_alive():
                    process.kill()
                process.join()
            _leave_group()
    failed = [rank for rank, process in enumerate(others, 1) if process.exitcode]
    if failed:
        raise RuntimeError(f"rank {failed[0]} of {world_size} failed; its traceback is above")


def _rank(variables: dict[str, str], other: Callable[..., None], args: tuple[object, ...]) -> None:
    first = os.getppid()
    threading.Thread(target=_end_with, args=(first,), daemon=True).start()
    with environment_variables(variables):
        try:
            other(*args)
            _leave_group()
        except (UnrolledError, KeyboardInterrupt):
            # The first rank meets the same and says so; once is enough.
            return
        except RuntimeError:
            # The first one's death ends what it had to do with the others, with a long traceback.
            if os.getppid() == first:
                raise
            os._exit(1)


def _end_with(first: int) -> None:
    """End this rank when the first is gone, which can no longer end it: it would wait forever."""
    while os.getppid() == first:
        time.sleep(0.5)
    os._exit(1)


def _variables(rank: int, world_size: int, port: int) -> dict[str, str]:
    """What tells Lightning that its ranks are started already."""
    return {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "NODE_RANK": "0",
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(world_size),
    }


def _leave_group() -> None:
    import torch.distributed

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
