import os
import subprocess
import sys

import pytest

from unrolled.training import allocator

STEPS = """
import resource, sys, torch
from unrolled.training.allocator import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def step():
    torch.ones(8 << 20).sum()
for _ in range(20):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    environment = {k: v for k, v in os.environ.items() if k not in allocator.VARIABLES}
    done = subprocess.run(
        [sys.executable, "-c", STEPS, how],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's settings")
def test_a_step_finds_the_memory_that_the_last_one_freed() -> None:
    assert faults("keep") < 0.1 * faults("give back")


@pytest.mark.parametrize("name", allocator.VARIABLES)
def test_what_the_environment_decided_stays(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "1")
    assert not allocator.keep_freed_memory()


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.libc_ver", lambda: ("", ""))
    assert not allocator.keep_freed_memory()
