"""submitit as a place for runs: a cap on those at a time, ends of all kinds, and Slurm."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig

from unrolled.errors import ConfigError
from unrolled.runs.record import find_runs, read_record
from unrolled.runs.spec import RunSpec
from unrolled.sweeps.pools.pool import drive
from unrolled.sweeps.pools.submitit import SubmititPool
from unrolled.training.run import Outcome, specify

Configure = Callable[..., DictConfig]
OPTIONS: dict[str, Any] = {
    "cluster": "local",
    "cpus_per_run": 1,
    "gpus_per_run": None,
    "memory_gb": None,
    "timeout_minutes": 10,
    "partition": None,
    "account": None,
    "qos": None,
    "constraint": None,
    "array_parallelism": None,
    "setup": None,
    "additional": None,
    "folder": None,
}
CELLS = """
import os, signal, time
from pathlib import Path
from unrolled.cells.lstm import LSTM

class Counter(LSTM):
    # How many are there at a time.
    def reset_parameters(self):
        super().reset_parameters()
        mine = Path("now", str(os.getpid()))
        mine.touch()
        time.sleep(0.5)
        Path("most", str(len(list(Path("now").iterdir())))).touch()
        mine.unlink()

class Killer(Counter):
    def native(self, x, state):
        os.kill(os.getpid(), signal.SIGKILL)

class Raiser(Counter):
    def native(self, x, state):
        raise ValueError("no such step")
"""


def run_all(configs: list[DictConfig], **options: Any) -> list[Outcome]:
    outcomes: dict[RunSpec, Outcome] = {}
    pool = SubmititPool(configs[0], {**OPTIONS, **options}, len(configs))
    specs = [specify(config) for config in configs]
    drive(pool, specs, outcomes.__setitem__)
    return [outcomes[spec] for spec in specs]


@pytest.fixture
def cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stand_ins: None) -> None:
    """Cells in the working folder, which the jobs find, beside files named as libraries."""
    (tmp_path / "my_jobs.py").write_text(CELLS)
    for name in ("now", "most"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    # As the command sets it.
    monkeypatch.setenv("PYTHONSAFEPATH", "1")


@pytest.mark.slow
@pytest.mark.usefixtures("cells")
def test_no_more_jobs_at_a_time_than_allowed_and_each_end_is_told(
    configure: Configure, tmp_path: Path
) -> None:
    configs = [
        configure("seed=1", "cell._target_=my_jobs.Killer", "workers=2"),
        configure("seed=2", "cell._target_=my_jobs.Raiser"),
        # One more than are allowed at a time.
        configure("seed=3", "cell._target_=my_jobs.Counter"),
    ]
    outcomes = run_all(configs)
    ends = [outcome.status for outcome in outcomes]
    assert ends == ["interrupted", "failed", "finished"]
    assert "ValueError: no such step" in outcomes[1].message
    most = {path.name for path in (tmp_path / "most").iterdir()}
    assert most
    assert most <= {"1", "2"}
    states = {r.seed: r.state for r in map(read_record, find_runs(Path("outputs")))}
    assert states == {1: "interrupted", 2: "failed", 3: "finished"}


def test_slurm_where_there_is_none_is_refused(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ConfigError, match=r"there is no Slurm here \(no sbatch\)"):
        SubmititPool.require(configure(), {**OPTIONS, "cluster": "slurm"})
    SubmititPool.require(configure(), OPTIONS)


@pytest.mark.parametrize(("says", "answers"), [("is UP", True), ("is DOWN", False)])
def test_slurm_that_does_not_answer_is_refused(
    configure: Configure, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, says: str, answers: bool
) -> None:
    for name, text in (("sbatch", "exit 1"), ("scontrol", f"echo 'Slurmctld(primary) {says}'")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with contextlib.nullcontext() if answers else pytest.raises(ConfigError, match="not answer"):
        SubmititPool.require(configure(), {**OPTIONS, "cluster": "slurm"})


def test_what_slurm_refuses_is_told(
    configure: Configure, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    refusal = "#!/bin/sh\necho 'sbatch: error: invalid partition specified: gpus' >&2\nexit 1\n"
    for name in ("sbatch", "srun"):
        (tmp_path / name).write_text(refusal)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(ConfigError, match=r"Slurm refuses the runs .*invalid partition.*: gpus"):
        run_all([configure()], cluster="slurm", partition="gpus")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cluster": "pbs"}, "cluster=pbs: slurm or local"),
        ({"cpus_per_run": 0}, "cpus_per_run=0: must be at least 1"),
        ({"timeout_minutes": 0}, "timeout_minutes=0"),
        ({"gpus_per_run": -1}, "gpus_per_run=-1: a whole number of GPUs"),
        ({"gpus_per_run": 64}, "gpus_per_run=64: there are"),
    ],
)
def test_options_that_cannot_work_are_refused(
    configure: Configure, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        SubmititPool.require(configure(), {**OPTIONS, **options})


def slurm_is_up() -> bool:
    if shutil.which("scontrol") is None:
        return False
    asked = subprocess.run(["scontrol", "ping"], capture_output=True, text=True, check=False)
    return " UP" in asked.stdout


@pytest.mark.slow
@pytest.mark.skipif(not slurm_is_up(), reason="there is no Slurm here, or it does not answer")
@pytest.mark.usefixtures("cells")
def test_slurm_runs_them_and_tells_how_each_ended(configure: Configure) -> None:
    configs = [
        configure("seed=1"),
        configure("seed=2", "cell._target_=my_jobs.Raiser"),
        configure("seed=3", "cell._target_=my_jobs.Killer"),
    ]
    outcomes = run_all(configs, cluster="slurm")
    assert [outcome.status for outcome in outcomes] == ["finished", "failed", "interrupted"]
