"""A single run leaves cores that others use to them."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig

from unrolled.runs.record import read_record
from unrolled.training import threads
from unrolled.training.run import run

Configure = Callable[..., DictConfig]


@pytest.fixture(autouse=True)
def _undecided(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nobody has said how many threads there are to be."""
    for name in threads.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def cores(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let the available cores be so busy, each from 0 to 1."""

    def set_cores(*busy: float) -> None:
        monkeypatch.setattr(threads, "available_cores", lambda: len(busy))
        monkeypatch.setattr(threads, "busy_cores", lambda: sum(busy))
        torch.set_num_threads(len(busy))

    return set_cores


def trained_threads(config: DictConfig) -> int:
    folder = run(config).folder
    assert folder is not None
    count = read_record(folder).environment["threads"]
    assert isinstance(count, int)
    return count


@pytest.mark.parametrize(
    ("busy", "expected"),
    [((0.0, 0.05), 2), ((1.0, 0.0), 1), ((1.0, 1.0), 1), ((0.1, 0.1, 0.1), 3), ((1, 0.6, 0), 1)],
)
def test_a_run_takes_the_cores_that_are_free(
    configure: Configure,
    cores: Callable[..., None],
    busy: tuple[float, ...],
    expected: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    cores(*busy)
    assert trained_threads(configure("trainer.max_steps=1")) == expected
    assert ("keep cores busy" in caplog.text) == (expected < len(busy))


def test_a_number_that_is_given_is_exact(
    configure: Configure, cores: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    cores(1.0, 1.0)
    assert trained_threads(configure("trainer.max_steps=1", "trainer.threads=2")) == 2
    # As a launcher sets it for the runs of a sweep.
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    torch.set_num_threads(2)
    assert trained_threads(configure("trainer.max_steps=1", "seed=2")) == 2


def test_busy_cores_are_seen() -> None:
    command = [sys.executable, "-c", "print(flush=True)\nwhile True: pass"]
    count = threads.available_cores()
    spinning = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(count)]
    try:
        for process in spinning:
            assert process.stdout is not None
            process.stdout.readline()
        assert threads.busy_cores() > count - 0.5
        assert threads.threads_to_yield() == 1
    finally:
        for process in spinning:
            process.kill()
            process.wait()


def test_without_the_cores_times_the_load_is_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(threads, "STAT", tmp_path / "none")
    monkeypatch.setattr("os.getloadavg", lambda: (0.75, 0.0, 0.0))
    assert threads.busy_cores() == 0.75
