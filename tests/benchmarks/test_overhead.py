"""The benchmark of what a run costs beside a bare loop."""

from pathlib import Path

import pytest


def test_the_bare_loop_learns_what_the_run_learns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks import overhead

    monkeypatch.setattr(overhead, "SIZES", {"tiny": ("lstm", 8, 4, 8)})
    monkeypatch.setattr(overhead, "STEPS", {"tiny": 20})
    seconds, loss = overhead.run("tiny", tmp_path)
    bare_seconds, bare_loss = overhead.bare("tiny", tmp_path)
    assert bare_loss == pytest.approx(loss, rel=1e-9)
    assert seconds > 0
    assert bare_seconds > 0


def test_medians_of_both_are_compared(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks import overhead

    times = {"run": iter([0.011, 0.3, 0.0105]), "bare": iter([0.010, 0.2, 0.009])}
    monkeypatch.setattr(overhead, "seconds", lambda kind, size, threads: next(times[kind]))
    row = overhead.measure("middle", threads=1, repeats=3)
    assert (row["run_ms"], row["bare_ms"]) == pytest.approx((11, 10))
    assert "+10.0 %" in capsys.readouterr().out
