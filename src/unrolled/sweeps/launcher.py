"""The runs of a sweep on this machine, each in a process of its own that starts warm.

A server process imports torch and Lightning once and forks a process for each run, which therefore
starts at once, and takes nothing down with it when it dies.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess

from hydra.core.utils import JobReturn, JobStatus
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict

from unrolled.config.compose import without_hydra
from unrolled.sweeps.job import job, label
from unrolled.training.job import Outcome
from unrolled.training.variables import environment_variables

# What the server imports before it forks; all of it is needed by every run.
PRELOADED = ["unrolled.training.run", "unrolled.sweeps.job"]
# Seconds after which an interrupted run is told again, and after which it is killed.
AGAIN, GRACE = 5.0, 15.0
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def launch(
    context: HydraContext,
    config: DictConfig,
    job_overrides: Sequence[Sequence[str]],
    initial_job_idx: int,
) -> list[JobReturn]:
    """Run all jobs, ``config.workers`` at a time, the cores shared out among them.

    Returns:
        For each job, in order, a return value that is an ``Outcome``, whatever became of it.
    """
    jobs = []
    for number, overrides in enumerate(job_overrides, initial_job_idx):
        composed = context.config_loader.load_sweep_config(config, list(overrides))
        with open_dict(composed):
            composed.hydra.job.id = str(number)
            composed.hydra.job.num = number
        jobs.append(composed)
    cores = available_cores()
    on_gpu = config.trainer.accelerator.name == "gpu"
    workers = min(config.workers or (1 if on_gpu else cores), len(jobs))
    tasks = []
    for composed in jobs:
        task = without_hydra(composed)
        OmegaConf.resolve(task)
        tasks.append(task)
    outcomes = run_jobs(tasks, workers, threads=max(1, cores // workers))
    returns = []
    for composed, task, outcome in zip(jobs, tasks, outcomes, strict=True):
        overrides = list(composed.hydra.overrides.task)
        result = JobReturn(overrides=overrides, cfg=task, hydra_cfg=composed)
        result.status, result.return_value = JobStatus.COMPLETED, outcome
        returns.append(result)
    return returns


def available_cores() -> int:
    """The cores that this process may use; where the system does not tell, all there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_jobs(configs: Sequence[DictConfig], workers: int, threads: int) -> list[Outcome]:
    """Run each configuration in a process of its own, ``workers`` at a time.

    Args:
        threads: of each process.

    Raises:
        KeyboardInterrupt: after the runs under way have written their records.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    outcomes: dict[int, Outcome] = {}
    waiting = list(enumerate(configs))[::-1]
    running: dict[int, tuple[ForkServerProcess, Connection]] = {}
    # What the server's libraries read when it starts; a count set later comes too late for some.
    variables = {name: str(threads) for name in THREADS}
    with environment_variables(variables), signals_end_the_sweep():
        try:
            while waiting or running:
                while waiting and len(running) < workers:
                    number, config = waiting.pop()
                    receiver, sender = context.Pipe(duplex=False)
                    process = context.Process(target=_work, args=(config, sender))
                    process.start()
                    # Only the process holds the other end now, so its death ends the pipe.
                    sender.close()
                    running[number] = process, receiver
                ready = wait([receiver for _, receiver in running.values()])
                for number in [n for n, (_, receiver) in running.items() if receiver in ready]:
                    process, receiver = running.pop(number)
                    outcomes[number] = _outcome(process, receiver, configs[number])
        except KeyboardInterrupt as error:
            processes = [process for process, _ in running.values()]
            _let_them_finish(processes, told=not isinstance(error, Terminated))
            raise
    return [outcomes[number] for number in range(len(configs))]


class Terminated(KeyboardInterrupt):
    """The sweep was told to end by a signal (a time limit, a scheduler), not by Ctrl-C."""


@contextlib.contextmanager
def signals_end_the_sweep() -> Iterator[None]:
    """Let SIGTERM end a sweep as Ctrl-C does: cleanly, with honest records."""

    def end(*_: object) -> None:
        raise Terminated("stopped by a signal")

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _end_with(parent: int) -> None:
    """Interrupt this run when the sweep is gone: it could train on for hours, and in the way."""
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGINT)


def _work(config: DictConfig, sender: Connection) -> None:
    # The server that forked this process ends with the sweep.
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    try:
        outcome = job(config)
    except KeyboardInterrupt:
        # The record says so; a traceback from each would only bury the parent's word.
        outcome = Outcome("failed", None, f"{label(config)}: interrupted")
    # Nobody may be left to hear it.
    with contextlib.suppress(BrokenPipeError):
        sender.send(outcome)


def _outcome(process: ForkServerProcess, receiver: Connection, config: DictConfig) -> Outcome:
    try:
        outcome = receiver.recv()
    except EOFError:
        process.join()
        return Outcome("failed", None, f"{label(config)}: {_cause(process.exitcode)}")
    process.join()
    assert isinstance(outcome, Outcome)
    return outcome


def _cause(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        name = signal.Signals(-exitcode).name
        hint = "; the system does that when memory runs out" if name == "SIGKILL" else ""
        return f"its process was killed by {name}{hint}"
    return f"its process ended with exit code {exitcode}"


def _let_them_finish(processes: Sequence[ForkServerProcess], told: bool) -> None:
    """Wait for the records of runs that are to end, and end what does not.

    Args:
        told: whether they got the interrupt already, as Ctrl-C gives it to all of a terminal.
    """
    started = time.monotonic()
    for deadline in (0.0, AGAIN, GRACE):
        for process in processes:
            process.join(max(0.0, started + deadline - time.monotonic()))
        alive = [process for process in processes if process.is_alive()]
        for process in alive:
            if deadline == GRACE:
                # Lightning takes SIGTERM for a wish. A killed run's record counts as interrupted.
                process.kill()
                process.join()
            elif deadline == AGAIN or not told:
                # Once more after a while: Python drops an interrupt that falls into a finalizer,
                # and a run that is ending already is deaf to it.
                os.kill(process.pid or 0, signal.SIGINT)
