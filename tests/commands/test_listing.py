import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from unrolled.commands import listing
from unrolled.commands.listing import RunLine, list_runs, print_runs, runs_json
from unrolled.errors import RunError
from unrolled.runs.processes import this_process
from unrolled.runs.progress import Progress

Make = Callable[..., Path]


@pytest.fixture
def study(make_run: Make, tmp_path: Path) -> Path:
    make_run("lstm", 1, 5.5)
    history = [
        {"step": 100, "seconds": 2.0, "validation/perplexity": 8.0},
        {"step": 200, "seconds": 4.0, "validation/perplexity": 9.0},
    ]
    running = {"metrics": {}, "history": history, "timing": {}, "process": this_process()}
    folder = make_run("lstm", 2, status="running", **running)
    Progress("training", step=250, total_steps=1000, seconds=5.0).write(folder)
    error = {"type": "DivergedError", "message": "the loss is nan at step 9\ntraceback"}
    make_run("lstm", 3, status="failed", error=error)
    (make_run("lstm", 4) / "record.json").write_text("[", encoding="utf-8")
    return tmp_path


def by_seed(lines: list[RunLine]) -> dict[str, RunLine]:
    return {line.name.split("-")[1]: line for line in lines}


def printed(lines: list[RunLine]) -> str:
    console = Console(file=io.StringIO(), width=80)
    print_runs(lines, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_states_progress_and_figures(study: Path) -> None:
    lines = by_seed(list_runs(study))
    assert [line.state for line in lines.values()] == ["finished", "running", "failed", "damaged"]
    finished, running = lines["seed1"], lines["seed2"]
    assert (finished.step, finished.best, finished.seconds) == (1000, 5.5, 20.0)
    assert (running.step, running.total_steps, running.seconds) == (250, 1000, 5.0)
    assert (running.latest, running.best) == (9.0, 8.0)
    assert finished.study == "study"
    assert lines["seed3"].error == "DivergedError: the loss is nan at step 9"


def test_failed_shows_what_needs_attention(study: Path) -> None:
    assert set(by_seed(list_runs(study, failed=True))) == {"seed3", "seed4"}


def test_print_shows_states_and_counts(study: Path) -> None:
    text = printed(list_runs(study))
    assert "250/1,000" in text
    assert "4 runs: 1 damaged, 1 failed, 1 running, 1 finished" in text


def test_many_runs_are_all_printed(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "_MANY", 3)
    text = printed(list_runs(study))
    assert all(f"lstm-seed{seed}-abc123" in text for seed in (1, 2, 3, 4))


def test_json_is_what_was_listed(study: Path) -> None:
    lines = list_runs(study, metric="validation/accuracy")
    values = json.loads(runs_json(lines))
    assert [value["name"] for value in values] == [line.name for line in lines]
    assert values[0]["best"] == pytest.approx(1 / 5.5)
    assert values[0]["metric"] == "validation/accuracy"


def test_a_run_s_own_folder_and_an_empty_one(study: Path, tmp_path: Path) -> None:
    run = next((study / "study").iterdir())
    assert len(list_runs(run)) == 1
    (tmp_path / "empty").mkdir()
    assert "no runs here" in printed(list_runs(tmp_path / "empty"))
    with pytest.raises(RunError, match="no such folder"):
        list_runs(tmp_path / "missing")


def test_a_sweep_under_way_shows_what_is_left_and_where_it_trains(tmp_path: Path) -> None:
    make = {"schema_version": 1, "identity": "i", "study": "s", "config": {}, "seed": 1}
    folder = tmp_path / "s" / "lstm-seed1"
    folder.mkdir(parents=True)
    running = {**make, "name": "lstm-seed1", "status": "running", "process": this_process()}
    running["environment"] = {"device": "gpu 3"}
    (folder / "record.json").write_text(json.dumps(running))
    Progress("training", step=250, total_steps=1000, seconds=5.0).write(folder)
    sweep = {"jobs": 4, "started": 0.0, "ended": None, "process": this_process()}
    (folder.parent / "sweep.json").write_text(json.dumps(sweep))
    (line,) = list_runs(tmp_path)
    assert (line.remaining, line.device) == (15.0, "gpu 3")
    text = printed([line])
    assert "gpu 3" in text
    assert "1 run: 1 running, 3 waiting" in text
    (folder.parent / "sweep.json").write_text(json.dumps({**sweep, "ended": 1.0}))
    assert "waiting" not in printed([line])
