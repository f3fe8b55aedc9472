"""Sweeps from the command line: what their processes say, and what disturbs them."""

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from unrolled.runs.record import find_runs, read_record

Overrides = Callable[..., list[str]]
Command = Callable[..., subprocess.CompletedProcess[str]]
COMMAND = [sys.executable, "-m", "unrolled", "train"]
CELLS = """
from unrolled.cells.lstm import LSTM

class Exiter(LSTM):
    def native(self, x, state):
        raise SystemExit(0)
"""


def train(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    result = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False)
    assert result.returncode == code, result.stdout + result.stderr
    return result


def told(output: str) -> tuple[dict[str, str], Counter[str]]:
    """How each run of a sweep ended by its line, and how many by the summary."""
    lines = re.findall(r"(?m)^\[(\d+)/\d+\] (\S+)  (\S+)", output)
    assert [int(number) for number, _, _ in lines] == list(range(1, len(lines) + 1))
    # A finished run's line begins with its metric.
    ends = {name: "finished" if "/" in end else end.rstrip(",") for _, name, end in lines}
    assert len(ends) == len(lines), "a run has two lines"
    (summary,) = re.findall(r"(?m)^\d+ finished, .*$", output)
    counts = Counter({end: int(count) for count, end in re.findall(r"(\d+) (\w+)", summary)})
    return ends, +counts


@pytest.mark.slow
def test_the_same_sweep_twice_at_once_tells_each_run_once(overrides: Overrides) -> None:
    command = [*COMMAND, "-m", *overrides("seed=1,2,3", "trainer.max_steps=100", "workers=2")]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    outputs = [process.communicate() for process in processes]
    assert [errors for _, errors in outputs] == ["", ""]
    made: list[str] = []
    for output, _ in outputs:
        ends, counts = told(output)
        assert len(ends) == 3
        assert Counter(ends.values()) == counts
        made += [name for name, end in ends.items() if end == "finished"]
    names = [folder.name for folder in find_runs(Path("outputs"))]
    assert sorted(made) == sorted(names)
    assert len(names) == 3


@pytest.mark.slow
def test_a_failure_is_told_once(overrides: Overrides, command: Command) -> None:
    failing = overrides("budget.parameters=10,11", "seed=1")
    output = command("train", "-m", *failing, code=1).stdout
    assert output.count("is too small") == 2
    ends, counts = told(output)
    assert Counter(ends.values()) == counts == {"failed": 2}
    assert output.splitlines()[-1].startswith("to retry what failed: ")


@pytest.mark.slow
def test_a_cell_that_exits_is_a_failure(overrides: Overrides, command: Command) -> None:
    Path("my_cells.py").write_text(CELLS)
    exiting = overrides("cell._target_=my_cells.Exiter")
    errors = command("train", *exiting, code=2).stderr
    assert re.fullmatch(r"unrolled: .*my_cells.py:6: SystemExit\(0\) was raised .*\n", errors)
    output = command("train", "-m", *exiting, "seed=1,2", "retry_failed=true", code=1).stdout
    assert output.count("SystemExit(0) was raised during the run") == 2
    records = [read_record(folder) for folder in find_runs(Path("outputs"))]
    assert [record.state for record in records] == ["failed", "failed"]
    assert {record.error["type"] for record in records if record.error} == {"SystemExit"}


@pytest.mark.slow
def test_a_sweeper_of_others_gets_its_runs_from_our_launcher(
    overrides: Overrides, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = tmp_path / "plugins" / "hydra_plugins" / "mine"
    plugin.mkdir(parents=True)
    code = "from hydra._internal.core_plugins.basic_sweeper import BasicSweeper\n"
    (plugin / "__init__.py").write_text(f"{code}\nclass MySweeper(BasicSweeper):\n    pass\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "plugins"), prepend=":")
    mine = "hydra.sweeper._target_=hydra_plugins.mine.MySweeper"
    sweep = ["-m", mine, *overrides("seed=1", "optimizer.lr=0.01,0.02")]
    output = train(*sweep).stdout
    # It decides by itself how many runs there are, so lines have no number.
    ends = dict(re.findall(r"(?m)^(\S+)  (validation/\S+)", output))
    assert "2 finished" in output
    assert {name.rpartition("-")[0] for name in ends} == {
        f"lstm-seed1-lr{lr}" for lr in (0.01, 0.02)
    }
    assert told(train(*sweep).stdout)[1] == {"skipped": 2}
