import csv
import io
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from unrolled.commands import listing
from unrolled.commands.causes import print_causes
from unrolled.commands.listing import (
    RunLine,
    list_runs,
    needs_attention,
    print_runs,
    runs_csv,
    runs_json,
)
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


def test_what_needs_attention(study: Path) -> None:
    assert set(by_seed([line for line in list_runs(study) if needs_attention(line)])) == {
        "seed3", "seed4",
    }  # fmt: skip


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


def test_csv_is_what_was_listed(study: Path) -> None:
    lines = list_runs(study)
    rows = list(csv.DictReader(io.StringIO(runs_csv(lines))))
    assert [row["name"] for row in rows] == [line.name for line in lines]
    finished, running = rows[0], rows[1]
    assert (finished["best"], finished["state"], finished["step"]) == ("5.5", "finished", "1000")
    assert (running["latest"], running["total_steps"], running["error"]) == ("9.0", "1000", "")


def test_the_metric_is_the_task_s_with_its_direction_and_format(
    make_run: Make, tmp_path: Path
) -> None:
    metrics = {"correct": {"direction": "max", "format": ".1%"}}
    history = [{"step": step, "validation/correct": step / 10} for step in (3, 5, 4)]
    make_run(
        "lstm", 1, task={"primary": "correct", "metrics": metrics}, history=history, metrics={}
    )
    (line,) = list_runs(tmp_path)
    assert (line.metric, line.latest, line.best) == ("validation/correct", 0.4, 0.5)
    text = printed([line])
    assert "40.0%" in text
    assert "50.0%" in text


def test_runs_of_several_tasks_say_which_metric_each_has(study: Path, make_run: Make) -> None:
    make_run("lstm", 9, task={"primary": "accuracy"})
    text = printed(list_runs(study))
    assert "validation/accuracy" in text
    assert "validation/perplexity" in text


def test_infinite_figures_are_shown_as_such(make_run: Make, tmp_path: Path) -> None:
    history = [{"step": 1, "seconds": 1.0, "validation/perplexity": math.inf}]
    make_run("irnn", 1, metrics={"validation/perplexity": math.inf}, history=history)
    lines = list_runs(tmp_path)
    assert printed(lines).count("inf") == 2
    (value,) = json.loads(runs_json(lines))
    assert (value["latest"], value["best"]) == ("inf", "inf")
    assert ",inf,inf," in runs_csv(lines)


def test_what_a_terminal_would_obey_is_written_out(make_run: Make, tmp_path: Path) -> None:
    hostile = "\x1b]0;owned\x07\x9b2J"
    make_run("lstm", 1, name=hostile, folder="a\x1b[2J/run")
    (make_run("lstm", 2, folder="b\x1b[2J/run\x1b[1m") / "record.json").write_text("{")
    environment = {"device": hostile}
    make_run("lstm", 3, environment=environment, timing={"ended": hostile}, folder="c")
    lines = list_runs(tmp_path)
    console = Console(file=io.StringIO(), width=300, force_terminal=True, color_system=None)
    print_runs(lines, console)
    print_causes(lines, console)
    assert isinstance(console.file, io.StringIO)
    for text in (console.file.getvalue(), runs_csv(lines), runs_json(lines)):
        assert not {"\x1b", "\x07", "\x9b"} & set(text)
    assert "\\x1b]0;owned\\x07\\x9b2J" in console.file.getvalue()
    assert json.loads(runs_json(lines))[0]["name"] == hostile


def test_a_run_s_own_folder_and_an_empty_one(study: Path, tmp_path: Path) -> None:
    run = next((study / "study").iterdir())
    assert len(list_runs(run)) == 1
    (tmp_path / "empty").mkdir()
    assert "no runs here" in printed(list_runs(tmp_path / "empty"))
    with pytest.raises(RunError, match="no such folder"):
        list_runs(tmp_path / "missing")


def test_a_sweep_under_way_shows_what_is_left_and_where_it_trains(
    make_run: Make, tmp_path: Path
) -> None:
    running = {"status": "running", "process": this_process(), "history": [], "metrics": {}}
    folder = make_run("lstm", 1, environment={"device": "gpu 3"}, **running)
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
