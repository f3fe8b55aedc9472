"""Sweeps from Python."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import unrolled
from unrolled.errors import ConfigError, SweepError
from unrolled.runs.record import find_runs

Overrides = Callable[..., list[str]]
# In this process, which is ready.
HERE = "hydra/launcher=basic"
SCRIPT = """
import threading, unrolled
tiny = {"dataset": "sentence", "task.batch_size": 1, "trainer.max_steps": 4}
print("the script runs")
made = unrolled.sweep(tiny, cell=["rnn_tanh", "gru"], workers=2)
print(made, threading.active_count())
print(unrolled.sweep(tiny, cell=["rnn_tanh", "gru"], workers=2).runs[0].outcome)
"""


def test_runs_and_failures_are_told_apart(
    overrides: Overrides, capsys: pytest.CaptureFixture[str]
) -> None:
    given = overrides("budget.parameters=null,10")
    made = unrolled.sweep(given, HERE, seed=[1, 2])
    printed = capsys.readouterr().out
    assert "2 finished, 2 failed; retry_failed=True in the same call" in printed
    assert len(made) == 2
    assert [run.status for run in made] == ["finished", "finished"]
    assert [one.status for one in made.failures] == ["failed", "failed"]
    assert all("is too small" in one.message for one in made.failures)
    assert {*made.folders} == {*find_runs(Path("outputs"))}
    assert repr(made) == "<Sweep: 2 runs, 2 failures>"
    assert "is too small" in made._repr_html_()
    assert [run.record.seed for row in made.compare().results.rows for run in row.runs] == [1, 2]
    with pytest.raises(SweepError, match=r"2 of 4 runs have no result; the first: .*") as found:
        unrolled.sweep(given, HERE, seed=[1, 2], check=True, progress=False)
    assert isinstance(found.value.sweep, unrolled.Sweep)
    assert [run.outcome for run in found.value.sweep] == ["skipped", "skipped"]
    assert capsys.readouterr() == ("", "")


def test_a_search_is_a_sweep(overrides: Overrides) -> None:
    made = unrolled.sweep(
        overrides(),
        "optimizer.lr=interval(0.001, 0.1)",
        hydra={
            "sweeper": "optuna",
            "launcher": "basic",
            "sweeper.n_trials": 2,
            "sweeper.sampler": "random",
        },
        study="search",
        progress=False,
    )
    assert len(made) == 2
    assert len({run.config.optimizer.lr for run in made}) == 2


def test_bad_input_is_refused_before_anything_runs(overrides: Overrides) -> None:
    with pytest.raises(ConfigError, match="cell=lstmm: no such choice; did you mean lstm"):
        unrolled.sweep(overrides(), cell=["gru", "lstmm"])
    with pytest.raises(ConfigError, match="hydra: a mapping such as"):
        unrolled.sweep(overrides(), hydra="ray")
    assert not Path("outputs").exists()


@pytest.mark.slow
def test_a_script_without_a_guard_sweeps_and_is_run_once() -> None:
    Path("script.py").write_text(SCRIPT)
    ended = subprocess.run(
        [sys.executable, "script.py"], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("the script runs") == 1
    assert "<Sweep: 2 runs, 0 failures> 1\n" in ended.stdout
    assert ended.stdout.endswith("2 skipped\nskipped\n")
    assert ended.stderr == ""
