"""The benchmark of what a run costs beside bare loops."""

from pathlib import Path

import pytest


@pytest.mark.parametrize("loop", ["ours", "lightning"])
def test_the_bare_loop_learns_what_the_run_learns(
    loop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks import overhead

    monkeypatch.setattr(overhead, "SIZES", {"tiny": ("lstm", 8, 4, 8)})
    monkeypatch.setattr(overhead, "STEPS", {"tiny": 20})
    times, losses, history = overhead.measure_run("tiny", tmp_path, loop)
    for part, entry in zip((losses[:10], losses[10:]), history, strict=True):
        assert sum(part) / 10 == pytest.approx(entry["train/loss"], rel=1e-6)
    # Without the first step, and the one after the validation between the halves.
    assert len(times) == 18
    assert min(min(one) for one in times) > 0


def test_ratios_are_within_windows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks import overhead

    # The machine is three times slower in the second process.
    found = iter([[(11.0, 10.0, 12.1)], [(33.0, 30.0, 36.3)], [(11.0, 10.0, 12.1)]])
    monkeypatch.setattr(overhead, "in_a_process", lambda size, threads, loop: next(found))
    row = overhead.measure("lstm-100k", threads=1, repeats=3)
    assert (row["run_ms"], row["bare_ms"], row["script_ms"]) == (11, 10, 12.1)
    assert row["run_by_bare"] == pytest.approx(1.1)
    assert row["script_by_run"] == pytest.approx(1.1)
    assert "+10.0 %" in capsys.readouterr().out


def test_a_window_is_the_mean_of_its_steps_in_the_second_half(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from benchmarks import overhead

    monkeypatch.setattr(overhead, "WINDOW", 10)
    early = [(9.0, 9.0, 9.0)] * 20
    late = [(0.001, 0.002, 0.003)] * 5 + [(0.003, 0.002, 0.001)] * 15
    assert overhead.windows(early + late) == [
        pytest.approx((2, 2, 2)),
        pytest.approx((3, 2, 1)),
    ]
