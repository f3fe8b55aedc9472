"""The runs of a sweep on Ray: a private one on this machine, or a running cluster."""

import importlib.util
import logging
import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from unrolled.errors import ConfigError
from unrolled.runs.spec import RunSpec
from unrolled.sweeps.pools.pool import Pool, require_fraction
from unrolled.training.run import Outcome
from unrolled.training.threads import VARIABLES

# Seconds for an address to answer.
CONNECT_TIMEOUT = 5.0
# Seconds after which a wait for results looks whether it was interrupted.
POLL_INTERVAL = 0.5


class RayPool(Pool):
    """One Ray task a run. Ray starts a task again whose worker was killed, and so the run goes on
    from its checkpoint; workers stay warm between runs.

    Options are those of ``conf/hydra/launcher/ray.yaml``.
    """

    def __init__(self, config: DictConfig, options: Mapping[str, Any], jobs: int | None) -> None:
        _be_brief()
        import ray

        # How many run at once is Ray's to say, where the person does not.
        self.capacity = config.workers
        self.running: dict[Any, RunSpec] = {}
        variables = {
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
            "PYTHONSAFEPATH": "1",
            **dict.fromkeys(VARIABLES, str(max(1, int(options["cpus_per_run"])))),
        }
        runtime = {**(options["runtime_env"] or {})}
        runtime["env_vars"] = variables | dict(runtime.get("env_vars", {}))
        private = options["address"] is None
        try:
            ray.init(
                address="local" if private else options["address"],
                num_cpus=options["num_cpus"] if private else None,
                num_gpus=options["num_gpus"] if private else None,
                include_dashboard=False if private else None,
                log_to_driver=False,
                logging_level=logging.ERROR,
                configure_logging=False,
                runtime_env=runtime,
            )
        except (ConnectionError, OSError, RuntimeError, ValueError) as error:
            raise ConfigError(_unanswered(options["address"], error)) from error
        gpus = gpus_per_run(config, options)
        try:
            _require_room(ray.cluster_resources(), options["cpus_per_run"], gpus)
        except ConfigError:
            ray.shutdown()
            raise
        self.remote = ray.remote(
            num_cpus=options["cpus_per_run"],
            num_gpus=gpus,
            max_retries=options["retries"],
            # CUDA gives nothing back while its process lives.
            max_calls=1 if gpus else 0,
        )(_in_worker(Path.cwd()))

    @classmethod
    def require(cls, config: DictConfig, options: Mapping[str, Any]) -> None:
        if importlib.util.find_spec("ray") is None:
            raise ConfigError("hydra/launcher=ray needs Ray: pip install 'unrolled[ray]'")
        gpus_per_run(config, options)
        if options["cpus_per_run"] <= 0:
            raise ConfigError(
                f"hydra.launcher.cpus_per_run={options['cpus_per_run']:g}: must be above 0"
            )
        if options["retries"] < 0:
            raise ConfigError(f"hydra.launcher.retries={options['retries']}: must be at least 0")
        _require_answer(options["address"])

    def submit(self, spec: RunSpec) -> None:
        self.running[self.remote.remote(_absolute(spec))] = spec

    def wait(self) -> list[tuple[RunSpec, Outcome]]:
        import ray

        ready: list[Any] = []
        while not ready:
            # A short wait, since a long one is deaf to Ctrl-C.
            ready, _ = ray.wait(list(self.running), timeout=POLL_INTERVAL)
        return [(self.running[one], self._end(one)) for one in ready]

    def stop(self, *, notified: bool = False) -> None:
        import ray

        for one in self.running:
            ray.cancel(one, force=True)
        ray.wait(list(self.running), num_returns=len(self.running), timeout=10)
        self.running.clear()

    def close(self) -> None:
        import ray

        # A cluster that was there before stays; a private one ends.
        ray.shutdown()

    def _end(self, one: Any) -> Outcome:
        import ray

        del self.running[one]
        try:
            outcome = ray.get(one)
        except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError) as error:
            message = f"its worker was killed more often than it is retried ({_line(error)})"
            return Outcome("interrupted", None, message, exited="Killed")
        except ray.exceptions.RayTaskError as error:
            return Outcome("failed", None, _line(error.cause))
        except ray.exceptions.RayError as error:
            return Outcome("interrupted", None, _line(error), exited="Killed")
        assert isinstance(outcome, Outcome)
        return outcome


def _in_worker(folder: Path) -> Callable[[RunSpec], Outcome]:
    """What a worker does. Ray has it search the sweep's folder first; this puts that right before
    it imports anything, and names no type, which would be imported with it."""

    def search_and_run(spec: Any) -> Any:
        from unrolled.config.working_folder import search_working_folder

        search_working_folder(folder)
        from unrolled.sweeps.worker import work_alone

        return work_alone(spec)

    return search_and_run


def gpus_per_run(config: DictConfig, options: Mapping[str, Any]) -> float:
    """How many GPUs, or which share of one, Ray is asked for.

    Raises:
        ConfigError: a share that no run could have.
    """
    on_gpu = config.trainer.accelerator == "gpu"
    asked = options["gpus_per_run"]
    if asked is None:
        return float(config.trainer.devices) if on_gpu else 0.0
    require_fraction("hydra.launcher.gpus_per_run", asked)
    return float(asked)


def _absolute(spec: RunSpec) -> RunSpec:
    """Workers start in another folder than the person is in."""
    config = spec.config.copy()
    for key in ("paths.outputs", "paths.cache", "dataset.path"):
        group, _, name = key.partition(".")
        value = config[group].get(name)
        if isinstance(value, str) and _is_path(key, value):
            config[group][name] = str(Path(value).expanduser().absolute())
    for name in ("validation_path", "test_path"):
        if isinstance(value := config.dataset.get(name), str):
            config.dataset[name] = str(Path(value).expanduser().absolute())
    return spec.elsewhere(config)


def _is_path(key: str, value: str) -> bool:
    """A data set of a hub has a name there that is none of this machine's."""
    return key != "dataset.path" or Path(value).expanduser().exists()


def _be_brief() -> None:
    """Let Ray give up on an address after seconds, not half a minute; it reads this once."""
    os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "4")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")


def _require_answer(address: str | None) -> None:
    """Refuse an address behind which nothing answers, instead of waiting for it.

    Raises:
        ConfigError: nothing does.
    """
    if address in (None, "local"):
        return
    if address == "auto":
        _be_brief()
        from ray._private.services import find_gcs_addresses

        if not os.environ.get("RAY_ADDRESS") and not find_gcs_addresses():
            raise ConfigError(_unanswered(address, None))
        return
    host, _, port = str(address).removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise ConfigError(f"hydra.launcher.address={address}: auto, host:port or ray://host:port")
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_TIMEOUT).close()
    except OSError as error:
        raise ConfigError(_unanswered(address, error)) from error


def _unanswered(address: str | None, error: Exception | None) -> str:
    reason = f" ({_line(error)})" if error is not None else ""
    if address is None:
        return f"hydra/launcher=ray: Ray does not start on this machine{reason}"
    return (
        f"hydra.launcher.address={address}: no Ray cluster answers there{reason}; start one with "
        "`ray start --head`, or take hydra/launcher=ray for one of this sweep's own"
    )


def _require_room(there: Mapping[str, float], cpus: float, gpus: float) -> None:
    for name, asked in (("CPU", cpus), ("GPU", gpus)):
        if asked > there.get(name, 0.0):
            raise ConfigError(
                f"hydra.launcher.{name.lower()}s_per_run={asked:g}: Ray has "
                f"{there.get(name, 0.0):g} {name}s in all, so no run would ever begin"
            )


def _line(error: object) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
