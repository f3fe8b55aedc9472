"""A real sweep, killed at random moments and typed again until it is done."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_a_sweep_that_is_killed_again_and_again_ends_as_one_left_alone(tmp_path: Path) -> None:
    # `make stress` does the same with 50 kills and more.
    command = [sys.executable, "-m", "benchmarks.stress", "--kills", "3", "--steps", "150"]
    result = subprocess.run(
        [*command, "--folder", str(tmp_path / "work"), "--output", str(tmp_path / "result.json")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    told = json.loads((tmp_path / "result.json").read_text())
    assert told["different"] == {}
    assert set(told["kills"]) == {"command", "server", "run"}
    assert told["starts"] > told["rounds"]
