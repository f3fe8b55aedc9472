"""Ray as a place for runs: shares of GPUs, killed workers, and what is refused."""

import os
import signal
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig

from unrolled.errors import ConfigError
from unrolled.runs.progress import read_progress
from unrolled.runs.record import find_runs, read_record
from unrolled.runs.spec import RunSpec
from unrolled.sweeps.pools.pool import drive
from unrolled.sweeps.pools.ray import RayPool
from unrolled.training.run import Outcome, specify

Configure = Callable[..., DictConfig]
OPTIONS: dict[str, Any] = {
    "address": None,
    "cpus_per_run": 1.0,
    "gpus_per_run": None,
    "num_cpus": None,
    "num_gpus": None,
    "retries": 3,
    "runtime_env": None,
}

CELLS = """
import os, time, torch
from pathlib import Path
from unrolled.cells.lstm import LSTM

class Seer(LSTM):
    # Says which GPU it sees, and waits until all others have.
    def reset_parameters(self):
        super().reset_parameters()
        seen = Path(os.environ["SEEN"])
        mine = seen / str(torch.initial_seed())
        if not mine.exists():
            mine.write_text(os.environ["CUDA_VISIBLE_DEVICES"])
        for _ in range(1200):
            if len(list(seen.iterdir())) >= 4:
                return
            time.sleep(0.05)
        raise TimeoutError("the others did not run at the same time")

class Raiser(Seer):
    def native(self, x, state):
        raise ValueError("no such step")
"""


@pytest.fixture
def cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stand_ins: None) -> None:
    """Cells in the working folder, which the workers find, beside files named as libraries."""
    (tmp_path / "my_ray_runs.py").write_text(CELLS)
    (tmp_path / "seen").mkdir()
    monkeypatch.setenv("SEEN", str(tmp_path / "seen"))
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])


@pytest.fixture(autouse=True)
def _short_sockets(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # Ray's sockets are below the temporary folder, and their paths may not be long.
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")
    yield


def run_all(configs: list[DictConfig], **options: Any) -> list[Outcome]:
    outcomes: dict[RunSpec, Outcome] = {}
    pool = RayPool(configs[0], {**OPTIONS, **options}, len(configs))
    specs = [specify(config) for config in configs]
    drive(pool, specs, outcomes.__setitem__)
    return [outcomes[spec] for spec in specs]


@pytest.mark.slow
@pytest.mark.usefixtures("cells")
def test_four_runs_share_two_gpus_one_is_killed_and_goes_on_and_one_fails_alone(
    configure: Configure, tmp_path: Path
) -> None:
    steps = ["trainer.max_steps=1500", "trainer.checkpoint_every_steps=50"]
    configs = [
        configure("seed=1", "cell._target_=my_ray_runs.Seer", *steps),
        configure("seed=2", "cell._target_=my_ray_runs.Raiser"),
        configure("seed=3", "cell._target_=my_ray_runs.Seer"),
        configure("seed=4", "cell._target_=my_ray_runs.Seer"),
    ]

    ended = threading.Event()

    def kill_once() -> None:
        # Ray may need half a minute to start on a busy machine.
        while not ended.is_set():
            for folder in Path("outputs/default").glob("Seer-seed1-*"):
                progress = read_progress(folder)
                if progress and progress.pid and progress.step >= 200:
                    os.kill(progress.pid, signal.SIGKILL)
                    return
            time.sleep(0.05)

    killer = threading.Thread(target=kill_once)
    killer.start()
    outcomes = run_all(configs, num_cpus=4, num_gpus=2, gpus_per_run=0.5)
    ended.set()
    killer.join()
    seen = Counter(path.read_text() for path in (tmp_path / "seen").iterdir())
    assert seen == {"0": 2, "1": 2}
    ends = [outcome.status for outcome in outcomes]
    assert ends == ["finished", "failed", "finished", "finished"]
    assert "ValueError: no such step" in outcomes[1].message
    records = {record.seed: record for record in map(read_record, find_runs(Path("outputs")))}
    assert records[1].timing["continued"][0]["step"] >= 50
    assert records[2].state == "failed"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gpus_per_run": 0.0}, "gpus_per_run=0: must be above 0"),
        ({"gpus_per_run": 1.5}, "a whole number of GPUs"),
        ({"cpus_per_run": 0.0}, "cpus_per_run=0: must be above 0"),
        ({"retries": -1}, "retries=-1"),
        ({"address": "nowhere"}, "auto, host:port or ray://host:port"),
        ({"address": "auto"}, "address=auto: no Ray cluster answers there"),
    ],
)
def test_what_cannot_work_is_refused_at_once(
    configure: Configure, options: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Another test may have a cluster of its own on this machine meanwhile.
    monkeypatch.setattr("ray._private.services.find_gcs_addresses", set)
    with pytest.raises(ConfigError, match=message):
        RayPool.require(configure(), {**OPTIONS, **options})


def test_an_address_that_does_not_answer_is_refused_within_seconds(configure: Configure) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        started = time.monotonic()
        with pytest.raises(ConfigError, match=f"{address}: no Ray cluster answers there"):
            RayPool.require(configure(), {**OPTIONS, "address": address})
    assert time.monotonic() - started < 6


@pytest.mark.slow
def test_more_than_ray_has_is_refused_and_not_waited_for(configure: Configure) -> None:
    with pytest.raises(ConfigError, match=r"gpus_per_run=3: Ray has 2 GPUs in all"):
        RayPool(configure(), {**OPTIONS, "num_gpus": 2, "gpus_per_run": 3.0}, 1)
