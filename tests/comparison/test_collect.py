import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unrolled.comparison.collect import collect
from unrolled.errors import ConfigError, RunError
from unrolled.runs.processes import this_process

MakeRun = Callable[..., Path]


def labels(study: Path, by: list[str] | None = None) -> dict[str, list[int]]:
    return {group.label: group.seeds for group in collect([study], by).groups}


def test_groups_by_cell_and_sorts_seeds(make_run: MakeRun, tmp_path: Path) -> None:
    for cell, seed in (("gru", 2), ("lstm", 3), ("gru", 1), ("lstm", 0)):
        make_run(cell, seed)
    assert labels(tmp_path) == {"gru": [1, 2], "lstm": [0, 3]}


def test_unlike_runs_are_not_averaged(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("lstm", 1, config={"optimizer.lr": 0.01}, folder="a")
    make_run("lstm", 2, config={"optimizer.lr": 0.001}, folder="b")
    make_run("lstm", 3, config={"optimizer.lr": 0.001}, folder="c")
    runs = collect([tmp_path])
    assert labels(tmp_path) == {"lstm lr=0.01": [1], "lstm lr=0.001": [2, 3]}
    assert runs.added == ("optimizer.lr",)


def test_a_choice_s_name_stands_for_its_details(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("lstm", 1, config={"optimizer": {"name": "sgd", "lr": 1.0}}, folder="a")
    make_run("lstm", 1, folder="b")
    assert set(labels(tmp_path)) == {"lstm optimizer=sgd", "lstm optimizer=adamw"}


def test_a_group_that_came_later_tells_runs_apart_only_where_it_is_not_as_before(
    make_run: MakeRun, tmp_path: Path
) -> None:
    for seed, head in enumerate(("linear", "adaptive"), 2):
        node = {"name": head, "_target_": f"unrolled.models.token_heads.{head}"}
        make_run("lstm", seed, config={"head": node}, folder=head)
    make_run("lstm", 1, folder="before")
    assert labels(tmp_path) == {"lstm head=linear": [1, 2], "lstm head=adaptive": [3]}


def test_other_data_under_the_same_configuration_is_another_row(
    make_run: MakeRun, tmp_path: Path
) -> None:
    make_run("lstm", 1, folder="a", data={"name": "text", "fingerprint": "aaaaaaaa"})
    make_run("lstm", 2, folder="b", data={"name": "text", "fingerprint": "bbbbbbbb"})
    assert set(labels(tmp_path)) == {"lstm data=text:aaaaaa", "lstm data=text:bbbbbb"}


@pytest.mark.parametrize(
    "config",
    [
        {"workers": 2},
        {"paths.outputs": "elsewhere"},
        {"trainer.threads": 2},
        {"cell.backend": "eager"},
        {"task.sample.length": 0},
        {"dataset.path": "another/place.txt"},
        {"trainer.log_every_steps": 7},
        {"retry_failed": True},
        {"fail_fast": True},
        {"time_limit_minutes": 3.0},
        {"trial": {"number": 3}},
        {"published": [{"source": "a paper"}]},
        {"model.name": "medium"},
        {"trainer.checkpoint_every_steps": 10},
        {"trainer.deterministic": True},
        {"task.evaluation_sequence_length": 10},
        {"cell.projection_size": None},
    ],
)
def test_what_cannot_matter_does_not_split_a_row(
    make_run: MakeRun, tmp_path: Path, config: dict[str, Any]
) -> None:
    make_run("lstm", 1, config=config)
    make_run("lstm", 2)
    assert labels(tmp_path) == {"lstm": [1, 2]}


def test_a_solved_hidden_size_is_implied_by_its_budget(make_run: MakeRun, tmp_path: Path) -> None:
    budget = {"budget.parameters": 100_000}
    make_run("lstm", 1, config=budget | {"model.hidden_size": 128})
    make_run("lstm", 2, config=budget | {"model.hidden_size": 133})
    assert labels(tmp_path) == {"lstm": [1, 2]}
    make_run("gru", 1, config={"model.hidden_size": 128})
    make_run("gru", 2, config={"model.hidden_size": 133})
    assert len(labels(tmp_path)) == 3


def typed(name: str, target: str = "unrolled.cells.lstm.LSTM") -> dict[str, Any]:
    return {"cell.name": name, "cell._target_": target}


def test_a_cell_typed_by_its_class_is_in_the_row_of_its_name(
    make_run: MakeRun, tmp_path: Path
) -> None:
    make_run("lstm", 1)
    make_run("LSTM", 2, config=typed("LSTM"))
    assert labels(tmp_path) == {"lstm": [1, 2]}
    assert collect([tmp_path]).groups[0].values == {"cell.name": "lstm"}


def test_classes_and_choices_that_differ_are_rows_of_their_own(
    make_run: MakeRun, tmp_path: Path
) -> None:
    make_run("LSTM", 1, config=typed("LSTM"))
    make_run("LSTM", 2, config=typed("LSTM", "my_cells.LSTM"))
    make_run("wide", 3, config=typed("wide", "my_cells.Leaky"))
    make_run("deep", 4, config=typed("deep", "my_cells.Leaky"))
    make_run("Leaky", 5, config=typed("Leaky", "my_cells.Leaky"))
    assert sorted(labels(tmp_path).values()) == [[1], [2], [3], [4], [5]]


def test_by_names_the_rows(make_run: MakeRun, tmp_path: Path) -> None:
    for layers in (1, 2):
        make_run("lstm", 1, config={"model.layers": layers}, folder=f"{layers}")
    assert set(labels(tmp_path, ["cell.name", "model.layers"])) == {
        "lstm layers=1",
        "lstm layers=2",
    }


def test_by_with_an_unknown_key_names_the_nearest(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("lstm", 1)
    with pytest.raises(ConfigError, match=r"model\.layer: .* nearest: model\.layers"):
        collect([tmp_path], ["model.layer"])


def test_duplicates_count_once(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("lstm", 1, folder="a/run")
    make_run("lstm", 1, folder="b/run")
    runs = collect([tmp_path / "study", tmp_path / "study" / "a"])
    assert [group.seeds for group in runs.groups] == [[1]]
    assert [run.state for run in runs.left_out] == ["duplicate"]


def test_what_is_left_out_and_why(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("lstm", 1)
    error = {"type": "DivergedError", "message": "the loss is nan at step 7\nmore"}
    make_run("lstm", 2, status="failed", error=error)
    stopped = {"type": "KeyboardInterrupt", "message": ""}
    make_run("lstm", 3, status="failed", error=stopped)
    make_run("lstm", 4, status="running", process=this_process())
    dead = this_process() | {"pid": 2**22 + os.getpid()}
    make_run("lstm", 5, status="running", process=dead)
    (make_run("lstm", 6) / "record.json").write_text('{"identity": ', encoding="utf-8")
    make_run("lstm", 7, config=None, metrics=[])
    make_run("lstm", 8, task={"metrics": {}})
    runs = collect([tmp_path])
    assert [group.seeds for group in runs.groups] == [[1]]
    states = {run.folder.name.split("-")[1]: run.state for run in runs.left_out}
    assert states == {
        "seed2": "failed",
        "seed3": "interrupted",
        "seed4": "running",
        "seed5": "interrupted",
        "seed6": "damaged",
        "seed7": "damaged",
        "seed8": "damaged",
    }
    reasons = {run.state: run.reason for run in runs.left_out}
    assert reasons["failed"] == "DivergedError: the loss is nan at step 7"
    assert "seed8" in reasons["damaged"]


def test_no_runs_and_nothing_finished(make_run: MakeRun, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such folder"):
        collect([tmp_path / "missing"])
    with pytest.raises(RunError, match=r"no run in it.*unrolled train"):
        collect([tmp_path])
    make_run("lstm", 1, status="failed", error={"type": "ValueError", "message": "x"})
    with pytest.raises(RunError, match=r"none of its runs is finished \(1 failed\)"):
        collect([tmp_path])
