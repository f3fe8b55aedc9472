"""A search from its command line: its trials, what ends them, and how it goes on."""

import io
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from rich.console import Console

from unrolled.cli import main
from unrolled.errors import ConfigError
from unrolled.runs.locks import hold
from unrolled.runs.record import find_runs, read_record
from unrolled.sweeps.expansion import plan
from unrolled.sweeps.search.storage import open_storage
from unrolled.sweeps.sweep import sweep
from unrolled.training.run import Outcome

Overrides = Callable[..., list[str]]
LR = "optimizer.lr=tag(log, interval(1e-3, 1e-1))"


def search(overrides: list[str], trials: int = 3) -> list[Outcome]:
    """Make a search in this process, one trial at a time."""
    chosen = ["hydra/sweeper=optuna", "hydra/launcher=basic", f"hydra.sweeper.n_trials={trials}"]
    planned = plan([*chosen, *overrides], multirun=True)
    return sweep(planned, Console(file=io.StringIO()))


def trials(study: str = "default") -> list[optuna.trial.FrozenTrial]:
    storage = open_storage(f"outputs/{study}/search.journal")
    return optuna.load_study(study_name=study, storage=storage).trials


def states(study: str = "default") -> Counter[str]:
    return Counter(trial.state.name for trial in trials(study))


def test_a_search_counts_the_trials_that_it_has(overrides: Overrides) -> None:
    options = overrides(LR, "cell=gru,lstm")
    outcomes = search(options)
    assert [o.status for o in outcomes] == ["finished"] * 3
    first = trials()
    for trial, outcome in zip(first, outcomes, strict=True):
        assert outcome.folder is not None
        record = read_record(outcome.folder)
        assert trial.value == record.metrics["validation/loss"]
        assert trial.user_attrs["run"] == record.name
        assert record.config["optimizer"]["lr"] == trial.params["optimizer.lr"]
        assert record.config["cell"]["name"] == trial.params["cell"]
        assert f"lr{trial.params['optimizer.lr']:.4g}-" in record.name
        # A comparison knows a search by its records alone.
        assert record.config["trial"]["number"] == trial.number
        assert record.config["trial"]["objectives"] == ["validation/loss"]
    assert search(options) == []
    assert len(search(options, trials=5)) == 2
    assert states() == {"COMPLETE": 5}
    # Other points than those it began with.
    assert len({trial.params["optimizer.lr"] for trial in trials()}) == 5


def test_a_trial_that_fails_is_one_failed_trial(overrides: Overrides) -> None:
    options = ["optimizer=sgd", "trainer.gradient_clip=null", "optimizer.lr=0.1,1e38"]
    outcomes = search(overrides(*options, "hydra.sweeper.sampler=grid"))
    assert sorted(o.status for o in outcomes) == ["failed", "finished"]
    assert states() == {"COMPLETE": 1, "FAIL": 1}
    failed = next(trial for trial in trials() if trial.state.name == "FAIL")
    assert "infinite or not a number" in failed.user_attrs["error"]


def test_values_that_are_wrong_together_are_one_failed_trial(overrides: Overrides) -> None:
    options = overrides("model.layers=2,1", "model.residual=false,true", 'study="o\'clock"')
    text = io.StringIO()
    chosen = ["hydra/sweeper=optuna", "hydra/launcher=basic", "hydra.sweeper.sampler=grid"]
    outcomes = sweep(plan([*chosen, *options], multirun=True), Console(file=text, width=200))
    assert Counter(outcome.status for outcome in outcomes) == {"finished": 3, "failed": 1}
    assert states("o'clock") == {"COMPLETE": 3, "FAIL": 1}
    assert text.getvalue().count("  failed  model.residual=true: needs model.layers of 2") == 1


def test_a_trial_that_does_worse_is_given_up(overrides: Overrides) -> None:
    options = overrides(
        "hydra.sweeper.sampler=grid",
        "hydra.sweeper.pruner=successive_halving",
        "hydra.sweeper.reduction_factor=2",
        "optimizer.lr=0.02,0.01,1e-6,1e-7",
        "trainer.validate_every_steps=5",
        "trainer.max_steps=40",
    )
    outcomes = search(options)
    count = Counter(outcome.status for outcome in outcomes)
    assert count["finished"] + count["pruned"] == 4
    assert count["pruned"] >= 1
    assert states() == {"COMPLETE": count["finished"], "PRUNED": count["pruned"]}
    given_up = [t for t in trials() if t.state.name == "PRUNED"]
    assert "0.02" not in {t.params["optimizer.lr"] for t in given_up}
    assert all(max(t.intermediate_values) < 40 for t in given_up)
    records = [read_record(folder) for folder in find_runs(Path("outputs"))]
    assert Counter(record.state for record in records) == count
    # What is pruned stays so; nothing is made again.
    assert search(options) == []


def test_several_objectives(overrides: Overrides) -> None:
    objectives = "hydra.sweeper.objectives=[validation/perplexity,model.parameters]"
    options = overrides("model.hidden_size=interval(2, 30)", objectives)
    search([*options, "hydra.sweeper.sampler=nsgaii"], trials=3)
    for trial in trials():
        record = read_record(next(Path("outputs").glob(f"*/{trial.user_attrs['run']}")))
        assert trial.values == [
            record.metrics["validation/perplexity"],
            record.model["parameters"],
        ]


def test_what_another_process_left_is_gone_on_with_and_what_it_works_on_is_not(
    overrides: Overrides,
) -> None:
    options = overrides(LR)
    search(options, trials=1)
    storage = open_storage("outputs/default/search.journal")
    study = optuna.load_study(study_name="default", storage=storage)
    lr = optuna.distributions.FloatDistribution(1e-3, 1e-1, log=True)
    space: dict[str, optuna.distributions.BaseDistribution] = {"optimizer.lr": lr}
    for searcher in ("gone", "alive"):
        study.ask(space).set_user_attr("searcher", searcher)
    alive = Path("outputs/default/.locks/search-alive")
    with hold(alive, "a search"):
        assert len(search(options, trials=4)) == 2
        assert [t.state.name for t in trials()] == ["COMPLETE", "COMPLETE", "RUNNING", "COMPLETE"]
    assert len(search(options, trials=4)) == 1
    assert states() == {"COMPLETE": 4}


@pytest.mark.slow
def test_trials_that_choose_the_same_at_the_same_time_are_one_run(overrides: Overrides) -> None:
    # Two values and six trials, two at a time: some choose what is under way.
    options = overrides("optimizer.lr=0.01,0.02", "trainer.max_steps=200", "cell=gru")
    chosen = ["hydra/sweeper=optuna", "hydra.sweeper.n_trials=6", "workers=2"]
    sweep(plan([*chosen, *options], multirun=True), Console(file=io.StringIO()))
    assert states() == {"COMPLETE": 6}
    assert len(find_runs(Path("outputs"))) <= 2


@pytest.mark.slow
def test_a_failure_that_ends_a_search_leaves_the_other_trials_unasked(
    overrides: Overrides,
) -> None:
    options = overrides(
        "optimizer=sgd", "optimizer.lr=1e38", "trainer.gradient_clip=null", "cell=gru,lstm"
    )
    chosen = ["hydra/sweeper=optuna", "hydra.sweeper.n_trials=9", "workers=1", "fail_fast=true"]
    outcomes = sweep(plan([*chosen, *options], multirun=True), Console(file=io.StringIO()))
    assert [outcome.status for outcome in outcomes] == ["failed"]
    assert states() == {"FAIL": 1}


def at_work() -> set[str]:
    """The processes that work on the runs, or were the last to do so."""
    records = [read_record(path.parent) for path in Path("outputs").glob("*/*/record.json")]
    return {str(record.process) for record in records}


@pytest.mark.slow
def test_a_search_that_is_killed_ends_with_the_trials_it_was_to_have(
    overrides: Overrides,
) -> None:
    options = overrides(
        LR, "trainer.max_steps=150", "trainer.checkpoint_every_steps=20", "cell=gru"
    )
    command = ["train", "-m", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=4", *options]
    started = [sys.executable, "-m", "unrolled", *command]
    for _ in range(2):
        before = at_work()
        process = subprocess.Popen(started, stdout=subprocess.DEVNULL)
        while at_work() <= before and process.poll() is None:
            time.sleep(0.1)
        time.sleep(0.5)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert main(command) == 0
    assert states() == {"COMPLETE": 4}
    runs = find_runs(Path("outputs"))
    assert sorted(folder.name for folder in runs) == sorted(
        trial.user_attrs["run"] for trial in trials()
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["optimizer.lrr=interval(0.1, 0.2)"], r"optimizer\.lrr: no such key; did you mean opt"),
        (["model.dropout=interval(0.0, 1.5)"], r"model\.dropout=1\.5: must be at least 0"),
        (["model.layers=interval(0.5, 1.5)"], r"model\.layers=0\.5"),
        ([LR, "hydra.sweeper.objectives=[test/perplexity]"], "a search looks at validation"),
        (
            [LR, "hydra.sweeper.objectives=[validation/loss,model.parameters]", "PRUNER"],
            r"pruner=hyperband: there is no pruning by several objectives",
        ),
        ([LR, "hydra.sweeper.objectives=[validation/accuracy]", "PRUNER"], "make them the same"),
        ([LR, "hydra.sweeper.sampler=grid"], "a grid takes lists"),
        ([LR, "hydra.sweeper.sampler=tpee"], "tpee"),
        ([LR, "hydra.sweeper.reduction_factor=1"], "at least 2"),
        ([], "a search needs something to vary"),
    ],
)
def test_what_cannot_be_searched_is_refused(
    overrides: Overrides, options: list[str], message: str
) -> None:
    options = [o.replace("PRUNER", "hydra.sweeper.pruner=hyperband") for o in options]
    with pytest.raises(ConfigError, match=message):
        search(overrides(*options))
    assert not list(Path().glob("outputs/*/*/record.json"))


def test_an_interval_needs_a_search(overrides: Overrides) -> None:
    with pytest.raises(ConfigError, match="or search with hydra/sweeper=optuna"):
        plan(overrides(LR), multirun=True)


def test_another_search_of_the_same_name_is_refused(overrides: Overrides) -> None:
    search(overrides(LR), trials=1)
    for changed, what in (
        ([LR.replace("1e-3", "1e-4")], "space"),
        ([LR, "hydra.sweeper.objectives=[validation/accuracy]"], "objectives"),
        ([LR, "model.embedding_size=9"], "config"),
    ):
        with pytest.raises(ConfigError, match=rf"another {what}, .* give another study="):
            search(overrides(*changed), trials=2)
    assert len(search(overrides(LR, "workers=3"), trials=2)) == 1


def test_a_storage_that_is_none_is_refused(overrides: Overrides, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    for content in ("some text\n", '{"op_code": 99}\n', "[1]\n", "no line"):
        other.write_text(content)
        with pytest.raises(ConfigError, match="not the storage of a search"):
            search(overrides(LR, f"hydra.sweeper.storage={other}"))
        assert other.read_text() == content
    url = "hydra.sweeper.storage='postgresql://nobody@127.0.0.1:1/none'"
    with pytest.raises(ConfigError, match="not the storage of a search"):
        search(overrides(LR, url))


def test_a_database_serves_as_well_and_one_of_another_version_is_refused(
    overrides: Overrides, tmp_path: Path
) -> None:
    path = tmp_path / "search.db"
    options = overrides(LR, f"hydra.sweeper.storage='sqlite:///{path}'")
    assert len(search(options, trials=2)) == 2
    assert len(search(options, trials=3)) == 1
    with sqlite3.connect(path) as database:
        database.execute("update alembic_version set version_num = 'v9.9.9.a'")
    with pytest.raises(ConfigError, match="not the storage of a search that this version"):
        search(options, trials=4)


def test_half_a_line_that_a_full_disk_left_is_cut_off(overrides: Overrides) -> None:
    search(overrides(LR), trials=1)
    with Path("outputs/default/search.journal").open("a") as file:
        file.write('{"op_code":5,"wor')
    assert len(search(overrides(LR), trials=2)) == 1
    assert states() == {"COMPLETE": 2}


KFOLD = ["validation=kfold", "folds=3", "hydra.sweeper.sampler=grid"]


def test_a_trial_is_judged_by_the_mean_of_its_folds(signs: list[str]) -> None:
    options = [*signs, *KFOLD, "optimizer.lr=0.001,0.05"]
    outcomes = search(options)
    assert [outcome.status for outcome in outcomes] == ["finished"] * 6
    assert states("signs") == {"COMPLETE": 2}
    records = [read_record(folder) for folder in find_runs(Path("outputs"))]
    for trial in trials("signs"):
        folds = [r for r in records if r.config["trial"]["number"] == trial.number]
        assert sorted(record.config["fold"] for record in folds) == [0, 1, 2]
        assert {record.config["optimizer"]["lr"] for record in folds} == {
            float(trial.params["optimizer.lr"])
        }
        figures = [record.metrics["validation/accuracy"] for record in folds]
        assert trial.value == pytest.approx(sum(figures) / 3)
        assert sorted(trial.user_attrs["folds"]) == sorted(record.name for record in folds)
    assert search(options) == []


def test_a_trial_goes_on_with_the_folds_that_it_lacks(signs: list[str]) -> None:
    options = [*signs, *KFOLD, "optimizer.lr=0.001,0.05"]
    # One is made already, by a sweep.
    (made,) = sweep(
        plan(
            [*signs, *KFOLD[:2], "fold=1", "optimizer.lr=0.05", "hydra/launcher=basic"],
            multirun=True,
        ),
        Console(file=io.StringIO()),
    )
    outcomes = search(options)
    assert Counter(outcome.status for outcome in outcomes) == {"finished": 5, "skipped": 1}
    assert states("signs") == {"COMPLETE": 2}
    assert made.folder is not None


def test_a_fold_that_fails_fails_its_trial(signs: list[str]) -> None:
    lr = "optimizer.lr=1e38,0.01"
    options = [*signs, *KFOLD, "optimizer=sgd", "trainer.gradient_clip=null", lr]
    outcomes = search(options)
    # What had not begun of the trial is not made.
    assert Counter(outcome.status for outcome in outcomes) == {"failed": 1, "finished": 3}
    assert states("signs") == {"COMPLETE": 1, "FAIL": 1}
    failed = next(trial for trial in trials("signs") if trial.state.name == "FAIL")
    assert "infinite or not a number" in failed.user_attrs["error"]


def test_trials_of_several_folds_are_not_given_up_halfway(signs: list[str]) -> None:
    options = [*signs, *KFOLD, "optimizer.lr=0.001,0.05", "hydra.sweeper.pruner=median"]
    with pytest.raises(ConfigError, match="a trial of several folds is judged by the mean of all"):
        search(options)
    # A search on one fold is as any other.
    assert [o.status for o in search([*options, "fold=0"])] == ["finished"] * 2


@pytest.mark.slow
def test_the_folds_of_a_trial_run_side_by_side_and_survive_a_kill(
    signs: list[str],
) -> None:
    options = [*signs, *KFOLD, "optimizer.lr=0.001,0.05", "trainer.max_steps=60"]
    command = ["train", "-m", "hydra/sweeper=optuna", "workers=2", *options]
    process = subprocess.Popen([sys.executable, "-m", "unrolled", *command])
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not any(
        read_record(folder).state == "finished" for folder in _runs()
    ):
        time.sleep(0.2)
    process.kill()
    process.wait(60)
    made = {f: read_record(f).timing for f in _runs() if read_record(f).state == "finished"}
    assert made
    assert states("signs")["COMPLETE"] < 2
    assert main(command) == 0
    assert states("signs") == {"COMPLETE": 2}
    assert len(_runs()) == 6
    assert {folder: read_record(folder).timing for folder in made} == made


def _runs() -> list[Path]:
    return find_runs(Path("outputs")) if Path("outputs").is_dir() else []
