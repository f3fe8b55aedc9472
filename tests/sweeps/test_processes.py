"""Sweeps from the command line: what their processes say, and what disturbs them."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from unrolled.runs.processes import process_is_alive
from unrolled.runs.record import Record, find_runs, read_record

Overrides = Callable[..., list[str]]
Command = Callable[..., subprocess.CompletedProcess[str]]
COMMAND = [sys.executable, "-m", "unrolled", "train"]
CELLS = """
import os
from pathlib import Path

from unrolled.cells.lstm import LSTM

class Exiter(LSTM):
    def native(self, x, state):
        raise SystemExit(0)

class Leaver(LSTM):
    # Ends its process as if all were well, once there is a checkpoint.
    def native(self, x, state):
        if not Path("stay").exists() and list(Path("outputs").rglob("last.ckpt")):
            os._exit(0)
        return super().native(x, state)
"""


def train(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    result = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False)
    assert result.returncode == code, result.stdout + result.stderr
    return result


def server_of(command: int) -> int | None:
    """The process from which a sweep's runs are forked."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for child in Path(f"/proc/{command}/task/{command}/children").read_text().split():
            if b"forkserver" in Path(f"/proc/{child}/cmdline").read_bytes():
                return int(child)
    return None


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
def test_a_server_that_is_killed_as_it_begins_is_begun_again(overrides: Overrides) -> None:
    sweep = subprocess.Popen(
        [*COMMAND, "-m", *overrides("seed=1")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while (server := server_of(sweep.pid)) is None and sweep.poll() is None:
        time.sleep(0.02)
    assert server is not None, sweep.communicate()
    # It still imports what the runs need.
    os.kill(server, signal.SIGKILL)
    output, errors = sweep.communicate()
    assert (sweep.returncode, errors) == (0, "")
    assert told(output)[1] == {"finished": 1}


@pytest.mark.slow
def test_the_runs_of_a_sweep_that_is_killed_end_with_it(overrides: Overrides) -> None:
    def records() -> list[Record]:
        return [read_record(path.parent) for path in Path("outputs").rglob("record.json")]

    sweep = subprocess.Popen([*COMMAND, "-m", *overrides("seed=1,2", "trainer.max_steps=100_000")])
    while len(list(Path("outputs").rglob("best.ckpt"))) < 2:
        assert sweep.poll() is None
        time.sleep(0.1)
    sweep.kill()
    sweep.wait()
    processes = [record.process for record in records()]
    try:
        for _ in range(200):
            if not any(map(process_is_alive, processes)):
                break
            time.sleep(0.1)
        # They have written that they were stopped, and are not in the way of the same command.
        errors = [record.error and record.error["type"] for record in records()]
        assert errors == ["KeyboardInterrupt", "KeyboardInterrupt"]
    finally:
        for process in filter(process_is_alive, processes):
            os.kill(process["pid"], signal.SIGKILL)


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
    assert re.fullmatch(r"unrolled: .*my_cells.py:9: SystemExit\(0\) was raised .*\n", errors)
    output = command("train", "-m", *exiting, "seed=1,2", "retry_failed=true", code=1).stdout
    assert output.count("SystemExit(0) was raised during the run") == 2
    records = [read_record(folder) for folder in find_runs(Path("outputs"))]
    assert [record.state for record in records] == ["failed", "failed"]
    assert {record.error["type"] for record in records if record.error} == {"SystemExit"}


@pytest.mark.slow
def test_a_process_that_ends_amid_its_run_is_no_finished_run(
    overrides: Overrides, command: Command
) -> None:
    Path("my_cells.py").write_text(CELLS)
    steps = "trainer.checkpoint_every_steps=5"
    leaving = overrides("cell._target_=my_cells.Leaver", steps)
    # Nothing of a process is left to choose another exit code; the record is what can be told by.
    train(*leaving)
    (folder,) = find_runs(Path("outputs"))
    assert "1 run: 1 interrupted" in command("runs").stdout
    # A sweep sees the end of the process, and says so.
    output = command("train", "-m", *leaving, "seed=1,2", code=1).stdout
    assert output.count("failed  Crashed: its process ended with exit code 0") == 2
    Path("stay").touch()
    assert "continued from step 5" in command("train", *leaving).stdout
    assert read_record(folder).state == "finished"


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
