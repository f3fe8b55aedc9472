"""One run's failure stays its own: the launcher with runs that fail, are killed, and finish."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig

from unrolled.sweeps.launcher import run_jobs
from unrolled.training.record import find_runs, read_record

KILLER = """
import os, signal
from unrolled.cells.lstm import LSTM

class Killer(LSTM):
    def native(self, x, state):
        os.kill(os.getpid(), signal.SIGKILL)

class Raiser(LSTM):
    def native(self, x, state):
        raise ValueError("no such step")
"""


@pytest.mark.slow
def test_the_others_finish_when_one_is_killed_and_one_raises(
    configure: Callable[..., DictConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_killers.py").write_text(KILLER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    jobs = [
        configure("seed=1"),
        configure("seed=2", "cell._target_=my_killers.Killer"),
        configure("seed=3", "cell._target_=my_killers.Raiser"),
        configure("seed=4", "budget.parameters=10"),
        configure("seed=5"),
    ]
    outcomes = run_jobs(jobs, workers=2, threads=1)
    assert [o.status for o in outcomes] == ["finished", "failed", "failed", "failed", "finished"]
    assert "SIGKILL" in outcomes[1].message
    assert "ValueError: no such step" in outcomes[2].message
    assert "budget.parameters=10 is too small" in outcomes[3].message
    names = ("Killer, seed 2", "Raiser, seed 3", "lstm, seed 4")
    assert all(n in o.message for n, o in zip(names, outcomes[1:4], strict=True))
    states = {record.seed: record.state for record in map(read_record, find_runs(Path("outputs")))}
    assert states == {
        1: "finished", 2: "interrupted", 3: "failed", 4: "failed", 5: "finished",
    }  # fmt: skip
    threads = [read_record(f).environment.get("threads") for f in find_runs(Path("outputs"))]
    assert set(threads) <= {1, None}


def test_the_environment_is_left_as_it_was(configure: Callable[..., DictConfig]) -> None:
    before = dict(os.environ)
    assert run_jobs([], workers=1, threads=1) == []
    assert dict(os.environ) == before
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
