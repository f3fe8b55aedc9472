"""Runs as data frames."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pandas
import polars
import pytest

import unrolled
from unrolled.api import frames
from unrolled.commands.listing import list_runs
from unrolled.errors import ConfigError, RunError

Make = Callable[..., Path]


@pytest.fixture
def study(make_runs: Make) -> Path:
    make_runs("gru", [5.65, 5.60], config={"optimizer.lr": 0.01})
    study = make_runs("lstm", [5.31])
    (study / "lstm-seed1-abc123" / "record.json").write_text("{")
    return study


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_row_for_each_run_whatever_its_state(study: Path, library: frames.Library) -> None:
    make = {"pandas": pandas.DataFrame, "polars": polars.DataFrame}[library]
    frame = unrolled.runs(study, frame=library)
    assert isinstance(frame, make)
    lines = list_runs(study)
    assert list(frame["name"]) == [line.name for line in lines]
    assert list(frame["state"]) == ["finished", "finished", "damaged"]
    assert list(frame["cell.name"])[:2] == ["gru", "gru"]
    assert list(frame["seed"])[:2] == [1, 2]
    assert list(frame["validation/perplexity"])[:2] == [5.65, 5.60]
    assert next(iter(frame["test/perplexity"])) == pytest.approx(5.65 * 1.02)
    assert next(iter(frame["when"])) == datetime(2026, 1, 2, 3, 4, 25, tzinfo=UTC)
    assert "damaged" in list(frame["error"])[2]
    # No run differs from another in it.
    assert "optimizer.lr" not in frame.columns


def test_a_key_in_which_runs_differ_has_a_column(make_runs: Make) -> None:
    make_runs("gru", [5.65], config={"optimizer.lr": 0.01, "cell.rank": 4})
    study = make_runs("lstm", [5.31], config={"cell.rank": "auto"})
    frame = unrolled.runs(study, frame="polars")
    assert dict(zip(frame["cell.name"], frame["optimizer.lr"], strict=True)) == {
        "gru": 0.01,
        "lstm": 0.003,
    }
    assert list(frame["cell.rank"]) == ["4", "auto"]
    assert list(unrolled.runs([study, *study.glob("gru*")], frame="pandas")["name"]) == list(
        frame["name"]
    )


def test_pandas_is_taken_where_it_is_installed(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(unrolled.runs(study), pandas.DataFrame)
    monkeypatch.setattr(frames, "find_spec", lambda name: None)
    assert isinstance(unrolled.runs(study), polars.DataFrame)
    with pytest.raises(ConfigError, match="pandas is not installed"):
        unrolled.runs(study, frame="pandas")
    with pytest.raises(ConfigError, match="frame=numpy: pandas or polars"):
        unrolled.runs(study, frame="numpy")  # type: ignore[arg-type]


def test_a_folder_without_runs_is_said(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="outputs: no such folder"):
        unrolled.runs()
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match="empty: no run in it; train some first"):
        unrolled.runs("empty")


def test_curves_are_the_history_of_a_record(make_runs: Make) -> None:
    study = make_runs("gru", [5.65])
    (folder,) = study.glob("gru*")
    history = json.loads((folder / "record.json").read_text())["history"]
    run = unrolled.Run(folder)
    curves = run.curves(frame="polars")
    assert curves.to_dicts() == history
    assert list(run.curves(frame="pandas")["step"]) == list(range(100, 1001, 100))
    assert "finished validation/perplexity 5.65" in repr(run)
    assert "<b>" in run._repr_html_()
