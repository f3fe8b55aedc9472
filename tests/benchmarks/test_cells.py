import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from unrolled.recurrence import backends
from unrolled.recurrence.stack import Recurrence

ROOT = Path(__file__).parents[2]
SMALL = ["--batch", "2", "--sizes", "8", "--device", "cpu"]


@pytest.fixture
def contestants(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks import contestants

    return contestants


@pytest.fixture
def measure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., tuple[Path, dict[str, Any]]]:
    """Runs the command; gives its folder and what it wrote there."""
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks.cells import main

    def run(*arguments: str) -> tuple[Path, dict[str, Any]]:
        folder = tmp_path / "out"
        main([*SMALL, *arguments, "--out", str(folder)])
        (path,) = folder.glob("*.json")
        return folder, json.loads(path.read_text(encoding="utf-8"))

    return run


def test_each_cell_by_each_backend_as_a_ratio_to_the_native_lstm(
    measure: Callable[..., tuple[Path, dict[str, Any]]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As on a machine without a C compiler, where an LSTM is PyTorch's.
    monkeypatch.setattr(backends, "kernel_for", lambda cell: None)
    folder, found = measure("--cells", "lstm,min_gru,mgu", "--lengths", "3,5")
    rows = found["cells"]
    assert {row["length"] for row in rows} == {3, 5}
    ways = [(row["cell"], row["backend"], row["auto"]) for row in rows if row["length"] == 5]
    assert ways == [
        ("nn.LSTM", "torch.nn", False),
        ("nn.GRU", "torch.nn", False),
        ("nn.RNN", "torch.nn", False),
        ("nn.LSTMCell loop", "torch.nn", False),
        ("user's LSTM", "generated", True),
        ("user's LSTM", "eager", False),
        ("lstm", "native", True),
        ("lstm", "eager", False),
        ("min_gru", "scan", True),
        ("min_gru", "eager", False),
        ("mgu", "generated", True),
        ("mgu", "eager", False),
    ]
    for row in rows:
        native = next(r for r in rows if r["cell"] == "nn.LSTM" and r["length"] == row["length"])
        pairs = [a / b for a, b in zip(row["seconds"], native["seconds"], strict=True)]
        assert len(pairs) == 9
        assert row["time_ratio"] == sorted(pairs)[4]
        assert (row["time_ratio_lowest"], row["time_ratio_highest"]) == (min(pairs), max(pairs))
        assert row["flops_ratio"] == row["flops_per_token"] / native["flops_per_token"]
        assert row["ratio_per_flop"] == row["time_ratio"] / row["flops_ratio"]
    flops = {row["cell"]: row["flops_ratio"] for row in rows}
    assert flops["user's LSTM"] == pytest.approx(flops["lstm"], rel=0.02)
    assert flops["mgu"] < flops["nn.GRU"] < flops["lstm"]
    assert {"torch", "cpu", "threads", "device", "date"} <= found["environment"].keys()
    assert found["settings"]["batch"] == 2
    assert (folder / "cells.png").stat().st_size > 10_000
    assert "width 8, length 5" in capsys.readouterr().out


def test_memory_with_recomputation_and_without(
    measure: Callable[..., tuple[Path, dict[str, Any]]],
) -> None:
    _, found = measure("--memory", "--cells", "lstm_cifg", "--lengths", "64,256", "--batch", "32")
    short, long = found["memory"]
    assert (short["length"], long["length"], long["backend"]) == (64, 256, "generated")
    beside = [row["recomputed_bytes"] - row["outputs_and_gradient_bytes"] for row in (short, long)]
    assert long["outputs_and_gradient_bytes"] == 3 * 256 * 32 * 8 * 4
    # Four times the length: four times the memory, or little more than outputs and gradient.
    assert long["whole_bytes"] / short["whole_bytes"] == pytest.approx(4, rel=0.1)
    assert max(beside) < 0.1 * long["outputs_and_gradient_bytes"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--repeats", "8"], "at least 9"),
        (["--cells", "lstn"], "choose from gru,"),
        (["--backends", "cudnn"], "choose from all,auto"),
    ],
)
def test_bad_input_is_named(
    measure: Callable[..., Any],
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    with pytest.raises(SystemExit):
        measure(*arguments)
    assert said in capsys.readouterr().err


def test_a_backend_that_cannot_run_a_cell_is_said(
    measure: Callable[..., tuple[Path, dict[str, Any]]], capsys: pytest.CaptureFixture[str]
) -> None:
    _, found = measure("--cells", "mgu", "--lengths", "3", "--backends", "native,eager")
    assert "mgu without native: cell.backend=native: MGU has no fused kernel" in (
        capsys.readouterr().out
    )
    assert ("mgu", "native") not in [(row["cell"], row["backend"]) for row in found["cells"]]


def test_what_is_compared_is_the_same_lstm(contestants: ModuleType) -> None:
    torch.manual_seed(0)
    native, x = nn.LSTM(4, 6).double(), torch.randn(5, 3, 4, dtype=torch.float64)
    weights = [parameter.detach() for parameter in native.parameters()]
    expected = native(x)[0]
    loop = contestants.CellLoop(4, 6).double()
    own = Recurrence(contestants.OwnLSTM, 4, 6).double()
    (cell,) = own.cells
    with torch.no_grad():
        for mine, theirs in zip(loop.parameters(), weights, strict=True):
            mine.copy_(theirs)
        values = [weights[0], weights[2] + weights[3], weights[1]]
        for mine, value in zip(cell.parameters(), values, strict=True):
            mine.copy_(value)
    for layer in (loop, own):
        torch.testing.assert_close(layer(x)[0], expected, rtol=0, atol=1e-12)
