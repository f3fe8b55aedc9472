"""Kernels are compiled once a machine, and what stands in the way is said."""

import os
import stat
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from compiled_passes import forget_kernels
from unrolled.cells.lstm import LSTM
from unrolled.cells.min_gru import MinGRU
from unrolled.kernels.library import compiler
from unrolled.recurrence.analytic.passes import kernel_for
from unrolled.recurrence.stack import Recurrence

needs_kernels = pytest.mark.skipif(compiler() is None, reason="no C compiler, or no AVX2")


@pytest.fixture(autouse=True)
def _as_a_new_process() -> Iterator[None]:
    forget_kernels()
    yield
    forget_kernels()


@pytest.fixture
def counting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A compiler that notes each compilation in the file that is returned."""
    notes, script = tmp_path / "compilations", tmp_path / "counting-cc"
    script.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] || echo once >> {notes}\nexec gcc "$@"\n',
        encoding="utf-8",
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("CC", str(script))
    monkeypatch.setenv("UNROLLED_CACHE", str(tmp_path / "cache"))
    return notes


@needs_kernels
def test_a_second_process_finds_what_the_first_has_compiled(counting: Path) -> None:
    program = (
        "from unrolled.cells.lstm import LSTM\n"
        "from unrolled.recurrence.analytic.passes import kernel_for\n"
        "assert kernel_for(LSTM(2, 3)) is not None\n"
    )
    for _ in range(2):
        subprocess.run([sys.executable, "-c", program], check=True, env=dict(os.environ))
    assert counting.read_text(encoding="utf-8").split() == ["once"]
    (left,) = (counting.parent / "cache").iterdir()
    assert left.name.startswith("kernels-")


@needs_kernels
def test_another_compiler_makes_its_own(counting: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert kernel_for(LSTM(2, 3)) is not None
    monkeypatch.delenv("CC")
    forget_kernels()
    assert kernel_for(LSTM(2, 3)) is not None
    assert len([*(counting.parent / "cache").iterdir()]) == 2


@needs_kernels
def test_a_cell_that_has_none() -> None:
    class Other(LSTM):
        """May have another step."""

    assert kernel_for(MinGRU(2, 3)) is None
    assert kernel_for(Other(2, 3)) is None


@pytest.mark.parametrize(
    ("command", "why"), [("false", "exit status 1"), ("no-such-compiler", "No such file")]
)
def test_a_compiler_that_fails_is_said_and_the_layer_runs(
    command: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setenv("CC", command)
    layer = Recurrence(LSTM, 3, 4, backend="analytic")
    with (
        pytest.warns(
            UserWarning,
            match=f"compiling the kernels failed.*{command}: .*{why}.*CC names another",
        ),
        torch.autocast("cpu", torch.bfloat16),
    ):
        y, _ = layer(torch.randn(5, 2, 3))
    assert y.isfinite().all()
    with warnings.catch_warnings(), torch.autocast("cpu", torch.bfloat16):
        warnings.simplefilter("error")  # once a process
        layer(torch.randn(5, 2, 3))


def test_without_a_compiler_or_the_instructions_nothing_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CC", raising=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
        assert kernel_for(LSTM(2, 3)) is None
        forget_kernels()
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
        monkeypatch.setenv("PATH", "")
        assert kernel_for(LSTM(2, 3)) is None
    assert compiler() is None
