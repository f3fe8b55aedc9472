"""The runs of a sweep through submitit: on Slurm, or as processes of this machine."""

import importlib.util
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from unrolled.config.working_folder import search_working_folder
from unrolled.errors import ConfigError
from unrolled.runs.identity import study_folder
from unrolled.runs.spec import RunSpec
from unrolled.sweeps.pools.local import VISIBLE, visible_gpus
from unrolled.sweeps.pools.pool import Pool
from unrolled.sweeps.worker import work_alone
from unrolled.training.run import Outcome
from unrolled.training.threads import VARIABLES, available_cores

if TYPE_CHECKING:
    import submitit

# Seconds between two looks at the jobs' results, and between two questions to Slurm.
POLL_INTERVAL, SQUEUE_INTERVAL = 0.3, 15.0
# Seconds that cancelled jobs have to write their records.
CANCEL_SECONDS = 20.0


class SubmititPool(Pool):
    """One job of submitit's a run; submitit queues a job again that is preempted or out of time,
    and so the run goes on from its checkpoint.

    Options are those of ``conf/hydra/launcher/submitit_slurm.yaml``.
    """

    def __init__(self, config: DictConfig, options: Mapping[str, Any], jobs: int | None) -> None:
        import submitit

        self.local = options["cluster"] == "local"
        self.capacity = config.workers
        gpus = _gpus(config, options)
        self.free: list[str | None] = []
        if self.local:
            # submitit would start every job at once, and show each all GPUs.
            cores = max(1, available_cores() // options["cpus_per_run"])
            found = visible_gpus() if gpus else []
            places = [
                ",".join(found[n : n + gpus]) for n in range(0, len(found) - gpus + 1, gpus or 1)
            ]
            most = len(places) if gpus else config.workers or cores
            self.capacity = min(config.workers or most, most)
            self.free = [*places[: self.capacity]] if gpus else [None] * self.capacity
        folder = options["folder"] or study_folder(config).resolve() / ".submitit" / "%j"
        self.executor = submitit.AutoExecutor(folder=folder, cluster=options["cluster"])
        self.executor.update_parameters(**self._parameters(config, options, gpus))
        self.threads = options["cpus_per_run"]
        self.waiting: list[RunSpec] = []
        self.running: dict[RunSpec, _Submitted] = {}

    @classmethod
    def require(cls, config: DictConfig, options: Mapping[str, Any]) -> None:
        if importlib.util.find_spec("submitit") is None:
            raise ConfigError(
                "hydra/launcher=submitit_… needs submitit: pip install 'unrolled[slurm]'"
            )
        if options["cluster"] not in ("slurm", "local"):
            raise ConfigError(f"hydra.launcher.cluster={options['cluster']}: slurm or local")
        if options["cluster"] == "slurm" and shutil.which("sbatch") is None:
            raise ConfigError(
                "hydra/launcher=submitit_slurm: there is no Slurm here (no sbatch); start the "
                "sweep on a login node, or take hydra/launcher=local"
            )
        if options["cluster"] == "slurm" and not _slurm_answers():
            raise ConfigError(
                "hydra/launcher=submitit_slurm: Slurm is here, but its controller does not answer "
                "(scontrol ping); try again when it does, or take hydra/launcher=local"
            )
        for name in ("cpus_per_run", "timeout_minutes"):
            if options[name] < 1:
                raise ConfigError(f"hydra.launcher.{name}={options[name]}: must be at least 1")
        gpus = _gpus(config, options)
        if options["cluster"] == "local" and gpus > len(visible_gpus() if gpus else []):
            raise ConfigError(
                f"hydra.launcher.gpus_per_run={gpus}: there are {len(visible_gpus())} GPUs on "
                "this machine"
            )

    def submit(self, spec: RunSpec) -> None:
        # Handed over all at once, so that Slurm gets an array.
        self.waiting.append(spec)

    def wait(self) -> list[tuple[RunSpec, Outcome]]:
        self._hand_over()
        while True:
            ended = [spec for spec, one in self.running.items() if self._has_ended(one)]
            if ended:
                return [(spec, self._end(spec)) for spec in ended]
            time.sleep(POLL_INTERVAL)

    def stop(self, *, notified: bool = False) -> None:
        self.waiting.clear()
        for one in self.running.values():
            one.job.cancel(check=False)
        deadline = time.monotonic() + CANCEL_SECONDS
        while time.monotonic() < deadline and not all(map(self._has_ended, self.running.values())):
            time.sleep(POLL_INTERVAL)
        self.running.clear()

    def _parameters(
        self, config: DictConfig, options: Mapping[str, Any], gpus: int
    ) -> dict[str, Any]:
        parameters: dict[str, Any] = {
            "name": f"unrolled-{config.study}",
            "timeout_min": options["timeout_minutes"],
            "cpus_per_task": options["cpus_per_run"],
        }
        if self.local:
            return parameters
        if gpus:
            parameters["gpus_per_node"] = gpus
        if options["memory_gb"] is not None:
            parameters["mem_gb"] = options["memory_gb"]
        for name in ("partition", "account", "qos", "constraint", "setup"):
            if options[name] is not None:
                parameters[f"slurm_{name}"] = options[name]
        most = options["array_parallelism"] or config.workers
        if most is not None:
            parameters["slurm_array_parallelism"] = most
        return parameters | dict(options["additional"] or {})

    def _hand_over(self) -> None:
        if not self.waiting:
            return
        import submitit

        calls = [Call(spec, self._place(), self.threads) for spec in self.waiting]
        try:
            with self.executor.batch():
                jobs = [self.executor.submit(call) for call in calls]
        except submitit.core.utils.FailedJobError as error:
            reason = str(error).strip().splitlines()[-1]
            raise ConfigError(f"Slurm refuses the runs ({reason}); none was begun") from error
        for call, submitted in zip(calls, jobs, strict=True):
            self.running[call.spec] = _Submitted(submitted, call.place)
        self.waiting.clear()

    def _place(self) -> str | None:
        return self.free.pop(0) if self.local else None

    def _has_ended(self, one: "_Submitted") -> bool:
        if one.job.paths.result_pickle.exists():
            return True
        if self.local:
            return bool(one.job.done())
        if time.monotonic() - one.asked < SQUEUE_INTERVAL:
            return False
        one.asked = time.monotonic()
        # Not by accounting, which many clusters do without.
        known = subprocess.run(
            ["squeue", "--noheader", "--jobs", one.job.job_id, "--format", "%i"],
            capture_output=True,
            text=True,
            check=False,
        )
        # Slurm forgets a job after a while, and then calls its number invalid.
        unknown = known.returncode != 0 and "Invalid job id" in known.stderr
        return unknown or (known.returncode == 0 and not known.stdout.strip())

    def _end(self, spec: RunSpec) -> Outcome:
        import submitit

        one = self.running.pop(spec)
        if self.local:
            self.free.append(one.place)
        if not self.local and not one.job.paths.result_pickle.exists():
            # A file system of a cluster's may need a moment to show it.
            time.sleep(2 * POLL_INTERVAL)
            if not one.job.paths.result_pickle.exists():
                message = f"job {one.job.job_id} exited without reporting (killed, or out of "
                message += f"memory; its log is in {one.job.paths.folder})"
                return Outcome("interrupted", None, message, exited="Killed")
        try:
            outcome = one.job.result()
        except submitit.core.utils.UncompletedJobError as error:
            reason = str(error).strip().splitlines()[0]
            return Outcome("interrupted", None, reason, exited="Killed")
        except submitit.core.utils.FailedJobError as error:
            reason = str(error).strip().splitlines()[-1]
            return Outcome("failed", None, reason)
        assert isinstance(outcome, Outcome)
        return outcome


@dataclass
class _Submitted:
    """A run's job of submitit's, and the GPUs that it was given."""

    job: "submitit.Job[Outcome]"
    place: str | None
    asked: float = 0.0


@dataclass
class Call:
    """What a job of submitit's calls.

    Attributes:
        place: the GPUs that it may see; None: those that the system gave it.
    """

    spec: RunSpec
    place: str | None
    threads: int

    def __call__(self) -> Outcome:
        """Make the run."""
        # Before torch is imported, which reads them once.
        os.environ.update(dict.fromkeys(VARIABLES, str(self.threads)))
        if self.place is not None:
            os.environ[VISIBLE] = self.place
        search_working_folder()
        # submitit's handler ignores it; a run takes it as a request to stop once it trains.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        return work_alone(self.spec)

    def checkpoint(self) -> "submitit.helpers.DelayedSubmission":
        """What submitit queues again when the job is preempted, or out of time."""
        import submitit

        return submitit.helpers.DelayedSubmission(self)


def _slurm_answers() -> bool:
    asked = subprocess.run(["scontrol", "ping"], capture_output=True, text=True, check=False)
    return " UP" in asked.stdout


def _gpus(config: DictConfig, options: Mapping[str, Any]) -> int:
    """How many whole GPUs a run gets."""
    on_gpu = config.trainer.accelerator == "gpu"
    asked = options["gpus_per_run"]
    if asked is None:
        return int(config.trainer.devices) if on_gpu else 0
    if asked < 0 or (on_gpu and asked < 1):
        raise ConfigError(
            f"hydra.launcher.gpus_per_run={asked}: a whole number of GPUs; for runs without one "
            "take trainer=cpu"
        )
    return int(asked)
