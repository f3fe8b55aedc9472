"""The runs of a sweep on this machine, each in a process of its own that starts warm.

A server process imports torch and Lightning once and forks a process for each run, which therefore
starts at once, and takes nothing down with it when it dies.
"""

import contextlib
import multiprocessing
import os
import select
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from typing import Any

from omegaconf import DictConfig

from unrolled.errors import ConfigError, DeviceError
from unrolled.runs.spec import RunSpec
from unrolled.sweeps.pools.pool import Pool, exited, require_fraction
from unrolled.sweeps.worker import work_alone
from unrolled.training.main_module import without_main_module
from unrolled.training.run import Outcome
from unrolled.training.threads import VARIABLES, available_cores
from unrolled.training.variables import environment_variables

# Seconds after which a run that is to end is interrupted again, and after which it is killed.
INTERRUPT_AGAIN_SECONDS, KILL_SECONDS = 5.0, 15.0
# How many servers are begun for one run before the sweep is given up.
SERVERS = 5
VISIBLE = "CUDA_VISIBLE_DEVICES"


class LocalPool(Pool):
    """One process per core with one thread each; or one per GPU, or per share of one.

    Options:
        gpus_per_run: how many GPUs a run sees; below 1, how much of one it may count on; None:
            ``trainer.devices`` where runs train on GPUs, and none otherwise.
        devices: which GPUs there are, as ``CUDA_VISIBLE_DEVICES`` names them; None: all.
    """

    def __init__(self, config: DictConfig, options: Mapping[str, Any], jobs: int | None) -> None:
        self.places = places(config, options)
        cores = available_cores()
        ranks = config.trainer.devices if config.trainer.strategy == "ddp" else 1
        most = len(self.places) if self.places else max(1, cores // ranks)
        # More runs than places for them would share a GPU; more runs than cores only wait.
        asked = config.workers or most
        self.capacity: int = min(
            n for n in (asked, most if self.places else None, jobs) if n is not None
        )
        self.free = self.places[: self.capacity] or [None] * self.capacity
        self.running: dict[RunSpec, _Running] = {}
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(["unrolled.sweeps.preloaded"])
        # What the server's libraries read when it starts; a count set later comes too late for
        # some. And the server must not begin to use a GPU, which a forked process could not.
        self.threads = max(1, cores // (self.capacity * ranks))
        variables = dict.fromkeys(VARIABLES, str(self.threads)) | {
            "PYTORCH_NVML_BASED_CUDA_CHECK": "1"
        }
        self.held = contextlib.ExitStack()
        self.held.enter_context(environment_variables(variables))

    @classmethod
    def require(cls, config: DictConfig, options: Mapping[str, Any]) -> None:
        if options["gpus_per_run"] is not None:
            require_fraction("hydra.launcher.gpus_per_run", options["gpus_per_run"])
        if options["devices"] is not None:
            places(config, options)

    def submit(self, spec: RunSpec) -> None:
        place = self.free.pop(0)
        receiver, sender = self.context.Pipe(duplex=False)
        process = self.context.Process(target=_work, args=(spec, place, self.threads, sender))
        _start(process)
        # Only the process holds the other end now, so its death ends the pipe.
        sender.close()
        self.running[spec] = _Running(process, receiver, place)

    def wait(self) -> list[tuple[RunSpec, Outcome]]:
        ready = wait([run.receiver for run in self.running.values()])
        ended = [spec for spec, run in self.running.items() if run.receiver in ready]
        return [(spec, self._end(spec)) for spec in ended]

    def stop(self, *, notified: bool = False) -> None:
        # A second interrupt would end a run at once, with nothing saved.
        _let_them_finish([run.process for run in self.running.values()], notified)
        self.running.clear()

    def close(self) -> None:
        self.held.close()

    def _end(self, spec: RunSpec) -> Outcome:
        run = self.running.pop(spec)
        self.free.append(run.place)
        try:
            outcome = run.receiver.recv()
        except EOFError:
            run.process.join()
            return exited(run.process.exitcode)
        run.process.join()
        assert isinstance(outcome, Outcome)
        return outcome


@dataclass(frozen=True)
class _Running:
    """A run under way, and the GPUs that it sees."""

    process: ForkServerProcess
    receiver: Connection
    place: str | None


def places(config: DictConfig, options: Mapping[str, Any]) -> list[str | None]:
    """What each run at a time may see of the GPUs; nothing where runs need none.

    Raises:
        ConfigError: a share of a GPU that no run could have.
        DeviceError: fewer GPUs than a single run asks for.
    """
    on_gpu = config.trainer.accelerator == "gpu"
    share = options["gpus_per_run"]
    devices = options["devices"]
    if share is None:
        if not on_gpu and devices is None:
            return []
        share = float(config.trainer.devices) if on_gpu else 1.0
    require_fraction("hydra.launcher.gpus_per_run", share)
    found = [str(device) for device in devices] if devices is not None else visible_gpus()
    if len(set(found)) < len(found):
        raise ConfigError(f"hydra.launcher.devices={','.join(found)}: names a GPU twice")
    if share > len(found):
        raise DeviceError(
            f"hydra.launcher.gpus_per_run={share:g}: there are {len(found)} GPUs on this machine; "
            "ask for fewer, or take trainer=cpu"
        )
    if share < 1:
        # Each GPU once before any has its second run.
        return [*found] * int(1 / share + 1e-6)
    whole = int(share)
    starts = range(0, len(found) - whole + 1, whole)
    return [",".join(found[start : start + whole]) for start in starts]


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as it would name them to another."""
    visible = os.environ.get(VISIBLE)
    if visible is not None:
        return [name for name in visible.split(",") if name]
    with environment_variables({"PYTORCH_NVML_BASED_CUDA_CHECK": "1"}):
        import torch

        return [str(number) for number in range(torch.cuda.device_count())]


def _start(process: ForkServerProcess) -> None:
    """Start a run's process; where the server was killed meanwhile, by another one.

    Raises:
        DeviceError: each server is gone before it answers.
    """
    for attempt in range(SERVERS):
        try:
            with without_main_module():
                process.start()
            return
        except (EOFError, ConnectionError):
            # One that has just been killed may still count as there.
            time.sleep(0.1 * (attempt + 1))
    raise DeviceError(
        f"the process that starts a sweep's runs was killed {SERVERS} times as it began; the "
        "system does that when memory runs out: end other programs, and type the command again"
    )


def _work(spec: RunSpec, place: str | None, threads: int, sender: Connection) -> None:
    import torch

    # The server may have started for an earlier sweep of this process, with another count.
    os.environ.update(dict.fromkeys(VARIABLES, str(threads)))
    torch.set_num_threads(threads)
    threading.Thread(target=_end_with_sweep, args=(sender,), daemon=True).start()
    if place is not None:
        # CUDA reads it when it is first used, which is after this.
        os.environ[VISIBLE] = place
    outcome = work_alone(spec)
    # Nobody may be left to hear it.
    with contextlib.suppress(BrokenPipeError):
        sender.send(outcome)


def _end_with_sweep(sender: Connection) -> None:
    """End this run when the sweep is gone: it could train on for hours, and in the way."""
    # The sweep alone holds the other end. The server says nothing of it: it lasts for as long as
    # the processes that it forked.
    gone = select.poll()
    gone.register(sender, 0)
    gone.poll()
    # It writes a checkpoint first, if it can.
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(KILL_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


def _let_them_finish(processes: Sequence[ForkServerProcess], notified: bool) -> None:
    """Wait for the records of runs that are to end, and kill what does not end.

    Args:
        notified: whether they got the interrupt already, as Ctrl-C gives it to all of a terminal.
    """
    started = time.monotonic()
    for deadline in (0.0, INTERRUPT_AGAIN_SECONDS, KILL_SECONDS):
        for process in processes:
            process.join(max(0.0, started + deadline - time.monotonic()))
        alive = [process for process in processes if process.is_alive()]
        for process in alive:
            if deadline == KILL_SECONDS:
                # A killed run's record counts as interrupted.
                process.kill()
                process.join()
            elif deadline == INTERRUPT_AGAIN_SECONDS or not notified:
                # The second one ends a run that is in a long step, without saving.
                os.kill(process.pid or 0, signal.SIGINT)
