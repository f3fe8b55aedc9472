"""One run's failure stays its own, and each run has its device: runs that fail, are killed, crash,
and finish, on this machine."""

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig

from unrolled.errors import ConfigError, DeviceError
from unrolled.runs.record import find_runs, read_record
from unrolled.runs.spec import RunSpec
from unrolled.sweeps.pools.local import LocalPool, places
from unrolled.sweeps.pools.pool import drive
from unrolled.training.run import Outcome, specify

Configure = Callable[..., DictConfig]
NO_GPU: dict[str, Any] = {"gpus_per_run": None, "devices": None}

CELLS = """
import os, signal, time
from pathlib import Path
from unrolled.cells.lstm import LSTM

class Killer(LSTM):
    def native(self, x, state):
        os.kill(os.getpid(), signal.SIGKILL)

class Crasher(LSTM):
    def native(self, x, state):
        os.kill(os.getpid(), signal.SIGSEGV)

class Leaver(LSTM):
    def native(self, x, state):
        os._exit(3)

class Exiter(LSTM):
    def native(self, x, state):
        raise SystemExit(0)

class Raiser(LSTM):
    def native(self, x, state):
        raise ValueError("no such step")

class Follower(LSTM):
    # Fails once another run has a record, too.
    def native(self, x, state):
        for _ in range(1200):
            if len(list(Path("outputs").glob("*/*/record.json"))) > 1:
                break
            time.sleep(0.05)
        raise ValueError("no such step")

class Seer(LSTM):
    # Says which GPUs it sees, and waits until all others have.
    def reset_parameters(self):
        super().reset_parameters()
        Path("seen", str(os.getpid())).write_text(os.environ["CUDA_VISIBLE_DEVICES"])
        for _ in range(600):
            if len(list(Path("seen").iterdir())) >= 4:
                return
            time.sleep(0.05)
        raise TimeoutError("the others did not run at the same time")

class Sleeper(LSTM):
    def native(self, x, state):
        time.sleep(1)
        return super().native(x, state)
"""


@pytest.fixture
def cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells of a person's own, which the runs' processes find."""
    (tmp_path / "my_runs.py").write_text(CELLS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.syspath_prepend(str(tmp_path))


def run_all(
    configs: Sequence[DictConfig],
    options: dict[str, Any] = NO_GPU,
    *,
    workers: int = 2,
    fail_fast: bool = False,
) -> list[Outcome]:
    outcomes: dict[RunSpec, Outcome] = {}
    first = configs[0].copy()
    first.workers = workers
    pool = LocalPool(first, options, len(configs))
    specs = [specify(config) for config in configs]
    drive(pool, specs, outcomes.__setitem__, fail_fast=fail_fast)
    return [outcomes[spec] for spec in specs if spec in outcomes]


def states() -> dict[int, str]:
    return {record.seed: record.state for record in map(read_record, find_runs(Path("outputs")))}


@pytest.mark.slow
def test_each_sweep_of_a_process_has_the_threads_of_its_own(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unrolled.sweeps.pools.local.available_cores", lambda: 2)
    for seeds, threads in (([1], 2), ([2, 3], 1), ([4], 2)):
        outcomes = run_all([configure(f"seed={n}") for n in seeds], workers=len(seeds))
        folders = [outcome.folder for outcome in outcomes if outcome.folder is not None]
        found = [read_record(folder).environment["threads"] for folder in folders]
        assert found == [threads] * len(seeds)


@pytest.mark.slow
@pytest.mark.usefixtures("cells")
def test_whatever_becomes_of_one_run_the_others_finish(configure: Configure) -> None:
    configs = [
        configure("seed=1"),
        configure("seed=2", "cell._target_=my_runs.Killer"),
        configure("seed=3", "cell._target_=my_runs.Raiser"),
        configure("seed=4", "budget.parameters=10"),
        configure("seed=5", "cell._target_=my_runs.Crasher"),
        configure("seed=6", "cell._target_=my_runs.Leaver"),
        configure("seed=7"),
        configure("seed=8", "cell._target_=my_runs.Exiter"),
    ]
    outcomes = run_all(configs)
    assert [o.status for o in outcomes] == [
        "finished", "interrupted", "failed", "failed", "failed", "failed", "finished", "failed",
    ]  # fmt: skip
    assert "killed by SIGKILL; the system does that" in outcomes[1].message
    assert "ValueError: no such step" in outcomes[2].message
    assert "budget.parameters=10 is too small" in outcomes[3].message
    assert "killed by SIGSEGV" in outcomes[4].message
    assert "exit code 3" in outcomes[5].message
    assert "SystemExit(0) was raised during the run" in outcomes[7].message
    assert states() == {
        1: "finished", 2: "interrupted", 3: "failed", 4: "failed", 5: "failed", 6: "failed",
        7: "finished", 8: "failed",
    }  # fmt: skip
    records = {record.seed: record for record in map(read_record, find_runs(Path("outputs")))}
    causes = {seed: r.error["message"] for seed, r in records.items() if r.error}
    assert "SIGKILL" in causes[2]
    assert "SIGSEGV" in causes[5]
    assert {r.environment.get("threads") for r in records.values()} <= {1, None}
    # Typed again: what failed is left, what was killed goes on, what is finished is not touched.
    again = run_all(configs)
    assert [o.status for o in again] == [
        "skipped", "interrupted", "failed", "failed", "failed", "failed", "skipped", "failed",
    ]  # fmt: skip
    assert "earlier: Crashed" in again[4].message


@pytest.mark.slow
@pytest.mark.usefixtures("cells")
def test_the_first_failure_ends_a_sweep_that_fails_fast(configure: Configure) -> None:
    configs = [
        configure("seed=1", "cell._target_=my_runs.Sleeper", "trainer.max_steps=1000"),
        configure("seed=2", "cell._target_=my_runs.Follower"),
        configure("seed=3"),
    ]
    outcomes = run_all(configs, fail_fast=True)
    assert [o.status for o in outcomes] == ["interrupted", "failed"]
    errors = [read_record(folder).error for folder in find_runs(Path("outputs"))]
    assert states() == {1: "interrupted", 2: "failed"}, errors


@pytest.mark.slow
@pytest.mark.usefixtures("cells")
def test_two_runs_share_a_gpu_where_a_fraction_says_so(
    configure: Configure, tmp_path: Path
) -> None:
    (tmp_path / "seen").mkdir()
    configs = [configure(f"seed={n}", "cell._target_=my_runs.Seer") for n in range(4)]
    outcomes = run_all(configs, {"gpus_per_run": 0.5, "devices": ["3", "5"]}, workers=4)
    assert {o.status for o in outcomes} == {"finished"}
    seen = [path.read_text() for path in (tmp_path / "seen").iterdir()]
    assert sorted(seen) == ["3", "3", "5", "5"]


@pytest.mark.slow
@pytest.mark.usefixtures("stand_ins")
def test_runs_of_several_ranks_equal_one_process_and_give_up_their_turn(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As the command sets it.
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    ranks = ["trainer.strategy=ddp", "trainer.devices=2"]
    single = run_all([configure("seed=1", "study=single")])
    outcomes = run_all([configure("seed=1", *ranks), configure("seed=2", *ranks)])
    assert [outcome.status for outcome in outcomes] == ["finished", "finished"]
    folders = [outcome.folder for outcome in (*single, outcomes[0])]
    one, two = (read_record(folder) for folder in folders if folder is not None)
    # The same global batch: the same figures but for the order of sums.
    assert two.metrics == pytest.approx(one.metrics, rel=1e-4)
    assert two.metrics["test/loss"] == pytest.approx(one.metrics["test/loss"], rel=1e-5)
    assert two.timing["tokens"] == one.timing["tokens"]


@pytest.mark.parametrize(
    ("share", "devices", "expected"),
    [
        (1, ["0", "1"], ["0", "1"]),
        (0.5, ["0", "1"], ["0", "1", "0", "1"]),
        (0.34, ["0"], ["0", "0"]),
        (2, ["0", "1", "2", "3", "4"], ["0,1", "2,3"]),
        (None, ["4", "6"], ["4", "6"]),
        (None, None, []),
    ],
)
def test_who_sees_which_gpu(
    configure: Configure,
    share: float | None,
    devices: list[str] | None,
    expected: list[str],
) -> None:
    assert places(configure(), {"gpus_per_run": share, "devices": devices}) == expected


def test_no_more_runs_at_once_than_there_are_places(configure: Configure) -> None:
    options = {"gpus_per_run": 1, "devices": ["0", "1"]}
    config = configure("workers=8")
    pool = LocalPool(config, options, 20)
    assert pool.capacity == 2
    pool.close()
    cores = LocalPool(config, NO_GPU, 20)
    assert cores.capacity == 8
    cores.close()
    assert os.environ["OMP_NUM_THREADS"] == "1"


@pytest.mark.parametrize(
    ("share", "message"),
    [(0, "must be above 0; 0.5 lets two runs share"), (1.5, "a whole number of GPUs, or a")],
)
def test_a_share_that_no_run_could_have_is_refused(
    configure: Configure, share: float, message: str
) -> None:
    with pytest.raises(ConfigError, match=f"gpus_per_run={share:g}: {message}"):
        LocalPool.require(configure(), {"gpus_per_run": share, "devices": None})


def test_more_gpus_than_there_are_is_refused(configure: Configure) -> None:
    with pytest.raises(DeviceError, match="gpus_per_run=3: there are 2 GPUs"):
        LocalPool.require(configure(), {"gpus_per_run": 3, "devices": ["0", "1"]})
    with pytest.raises(ConfigError, match="names a GPU twice"):
        LocalPool.require(configure(), {"gpus_per_run": 1, "devices": ["0", "0"]})


LOOK = """
import gc, sys
from pathlib import Path

Path("warm").write_text(f"{'unrolled.training.fit' in sys.modules} {gc.get_freeze_count() > 0}")
"""


def test_a_process_of_a_run_starts_warm(configure: Configure) -> None:
    pool = LocalPool(configure(), NO_GPU, 1)
    process = pool.context.Process(target=exec, args=(LOOK,))
    process.start()
    process.join()
    pool.close()
    assert Path("warm").read_text() == "True True"


def test_the_environment_is_left_as_it_was(configure: Configure) -> None:
    before = dict(os.environ)
    pool = LocalPool(configure(), NO_GPU, 1)
    drive(pool, [], lambda _spec, _outcome: None)
    assert dict(os.environ) == before
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
