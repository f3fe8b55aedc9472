"""A fair study from its command line: what is tried, what goes on, what is trained at last."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from unrolled.cli import main
from unrolled.errors import ConfigError
from unrolled.runs.record import Record, find_runs, read_record
from unrolled.sweeps.expansion import plan
from unrolled.sweeps.sweep import dry_run, sweep
from unrolled.training.checkpoints import read_content
from unrolled.training.run import Outcome

Overrides = Callable[..., list[str]]
LR = "optimizer.lr=tag(log, interval(1e-4, 1e-1))"
TWO = ["cell=rnn_tanh,gru", "seed=1,2", LR]
ALL = "hydra.sweeper.give_up_at=[]"
STEPS = ["trainer.max_steps=40", "trainer.validate_every_steps=5"]


def fair(
    overrides: list[str], *, trials: int = 4, text: io.StringIO | None = None
) -> list[Outcome]:
    """Make a fair study in this process, one run at a time."""
    chosen = ["hydra/sweeper=fair", "hydra/launcher=basic", f"hydra.sweeper.n_trials={trials}"]
    planned = plan([*chosen, *overrides], multirun=True)
    return sweep(planned, Console(file=text or io.StringIO(), width=200))


def described(overrides: list[str]) -> str:
    """What a dry run says."""
    text = io.StringIO()
    options = ["hydra/sweeper=fair", "hydra.sweeper.n_trials=4", *overrides]
    dry_run(plan(options, multirun=True), Console(file=text, width=300))
    return text.getvalue()


def records(study: str = "default") -> list[Record]:
    return [read_record(folder) for folder in find_runs(Path("outputs") / study)]


def by_role(role: str, study: str = "default") -> list[Record]:
    return [record for record in records(study) if record.config["trial"]["role"] == role]


def figures(study: str = "default") -> dict[str, Any]:
    """What is recorded of each run but the times."""
    return {
        record.name: (
            record.state,
            record.metrics,
            [{k: v for k, v in entry.items() if k != "seconds"} for entry in record.history],
        )
        for record in records(study)
    }


def test_a_fair_study_from_its_search_to_its_comparison(
    overrides: Overrides, command: Callable[..., Any]
) -> None:
    options = overrides(*TWO, *STEPS)
    assert "trials (8 new), then 2 final runs" in described(options)
    text = io.StringIO()
    outcomes = fair(options, text=text)
    assert Counter(o.status for o in outcomes) == {"finished": 6, "pruned": 6}
    assert "gru: the best of 4 trials is optimizer.lr=" in text.getvalue()
    assert "[12/12] " in text.getvalue()
    tried = {cell: search_and_final_runs(cell) for cell in ("rnn_tanh", "gru")}
    # Common random numbers: no cell is luckier in what it tries.
    assert tried["rnn_tanh"] == tried["gru"]
    assert len(set(tried["gru"])) == 4

    # The same command finds nothing to do.
    before = figures()
    assert Counter(o.status for o in fair(options)) == {"skipped": 6, "pruned": 6}
    assert figures() == before
    assert "trials (2 finished, 6 pruned), then 2 final runs" in described(options)
    assert "(4 finished so far)" in described(options)

    # A run that was stopped on the way ends as one that was not.
    (best,) = (r for r in by_role("search") if r.state == "finished" and "gru" in r.name)
    assert len(best.timing["continued"]) == 2
    lr = best.config["optimizer"]["lr"]
    alone = overrides("cell=gru", "seed=0", f"optimizer.lr={lr}", *STEPS, "study=alone")
    assert main(["train", *alone]) == 0
    (record,) = records("alone")
    assert record.metrics == best.metrics

    # The comparison is of the final runs.
    printed = command("compare", "outputs/default").stdout
    stored = json.loads(Path("outputs/default/comparison/comparison.json").read_text())
    assert {group["label"] for group in stored["groups"]} == {"rnn_tanh", "gru"}
    assert all(group["seeds"] == [1, 2] for group in stored["groups"])
    assert all(group["setting"].startswith("optimizer.lr=") for group in stored["groups"])
    notes = " ".join(stored["notes"])
    assert "Each row was tuned by a search of its own (4 trials" in notes
    assert "differ in more than the cell" not in notes
    assert stored["left_out"] == []
    assert "pruned" not in printed
    assert Path("outputs/default/comparison/tuning.png").is_file()

    # A longer search keeps what was tried.
    fair(options, trials=5)
    assert set(before) <= set(figures())
    trials = Counter(r.config["cell"]["name"] for r in by_role("search"))
    assert trials == {"rnn_tanh": 5, "gru": 5}


def search_and_final_runs(cell: str) -> list[float]:
    """What was tried for a cell, whose runs are as they must be."""
    trials = [r for r in by_role("search") if r.config["cell"]["name"] == cell]
    finals = [r for r in by_role("final") if r.config["cell"]["name"] == cell]
    assert {r.seed for r in trials} == {0}
    assert sorted(r.seed for r in finals) == [1, 2]
    # Half go on from 10 steps, one of them from 20.
    assert sorted(r.history[-1]["step"] for r in trials) == [10, 10, 20, 40]
    assert Counter(r.state for r in trials) == {"finished": 1, "pruned": 3}
    at_10 = {
        r.name: min(e["validation/loss"] for e in r.history if e["step"] <= 10) for r in trials
    }
    went_on = {r.name for r in trials if r.history[-1]["step"] > 10}
    assert went_on == set(sorted(at_10, key=lambda name: at_10[name])[:2])
    (best,) = (r for r in trials if r.state == "finished")
    for final in finals:
        assert final.state == "finished"
        assert final.config["optimizer"]["lr"] == best.config["optimizer"]["lr"]
        assert final.config["trial"]["number"] == best.config["trial"]["number"]
    return sorted(r.config["optimizer"]["lr"] for r in trials)


def test_what_one_cell_alone_has_is_searched_for_it_alone(overrides: Overrides) -> None:
    own = "hydra.sweeper.own=['gru: model.initialization=uniform,orthogonal']"
    fair(overrides("cell=rnn_tanh,gru", "seed=3", LR, own, ALL), trials=2)
    found = {(r.config["cell"]["name"], r.config["model"]["initialization"]) for r in records()}
    assert {choice for cell, choice in found if cell == "rnn_tanh"} == {"default"}
    assert {choice for cell, choice in found if cell == "gru"} <= {"uniform", "orthogonal"}
    assert {r.state for r in records()} == {"finished"}
    assert all("initialization" not in r.name for r in records() if "rnn" in r.name)
    spaces = {r.config["cell"]["name"]: len(r.config["trial"]["space"]) for r in records()}
    assert spaces == {"rnn_tanh": 1, "gru": 2}


def test_a_trial_that_fails_is_the_worst_and_a_cell_without_a_figure_has_no_final_runs(
    overrides: Overrides,
) -> None:
    sgd = ["optimizer=sgd", "trainer.gradient_clip=null", "hydra.sweeper.sampler=grid"]
    text = io.StringIO()
    outcomes = fair(overrides("cell=gru", "seed=1", *sgd, "optimizer.lr=1e38,0.1"), text=text)
    assert Counter(o.status for o in outcomes) == {"failed": 1, "finished": 2}
    (final,) = by_role("final")
    assert final.config["optimizer"]["lr"] == 0.1
    outcomes = fair(
        overrides("cell=gru", "seed=1", *sgd, "optimizer.lr=1e38,2e38", "study=none"), text=text
    )
    assert Counter(o.status for o in outcomes) == {"failed": 2}
    assert "gru: none of its 2 trials came to a figure" in text.getvalue()


def test_more_is_better_where_the_metric_says_so(overrides: Overrides) -> None:
    accuracy = "hydra.sweeper.objective=validation/accuracy"
    fair(overrides("cell=gru", "seed=1", LR, accuracy, ALL), trials=3)
    best = max(by_role("search"), key=lambda r: max(e["validation/accuracy"] for e in r.history))
    (final,) = by_role("final")
    assert final.config["optimizer"]["lr"] == best.config["optimizer"]["lr"]


def test_folds_are_searched_by_their_mean(signs: list[str]) -> None:
    folds = ["validation=kfold", "folds=3", "seed=1,2"]
    grid = ["hydra.sweeper.sampler=grid", ALL]
    outcomes = fair([*signs, *folds, *grid, "cell=gru", "optimizer.lr=0.001,0.05"])
    assert Counter(o.status for o in outcomes) == {"finished": 2 * 3 + 2 * 3}
    means: dict[float, list[float]] = {}
    for record in by_role("search", "signs"):
        losses = [entry["validation/loss"] for entry in record.history]
        means.setdefault(record.config["optimizer"]["lr"], []).append(min(losses))
    best = min(means, key=lambda lr: sum(means[lr]))
    assert {r.config["optimizer"]["lr"] for r in by_role("final", "signs")} == {best}


def test_a_trial_whose_record_is_damaged_waits_where_it_did(overrides: Overrides) -> None:
    options = overrides("cell=gru", "seed=1", LR, *STEPS, "hydra.sweeper.give_up_at=[0.5]")
    fair(options, trials=2)
    (pruned,) = [record for record in records() if record.state == "pruned"]
    before = figures()
    folder = Path("outputs/default") / pruned.name
    (folder / "record.json").write_text("{")
    fair(options, trials=2)
    assert figures() == before
    assert read_content(folder / "checkpoints" / "last.ckpt")["global_step"] == 20


@pytest.mark.slow
def test_a_fair_study_that_is_killed_again_and_again_ends_as_one_left_alone(
    overrides: Overrides,
) -> None:
    options = overrides("cell=rnn_tanh,gru", "seed=1", LR, "trainer.threads=1")
    options += ["trainer.max_steps=120", "trainer.validate_every_steps=30"]
    options += ["trainer.checkpoint_every_steps=20"]
    command = ["train", "-m", "hydra/sweeper=fair", "hydra.sweeper.n_trials=2", *options]
    assert main([*command, "workers=1", "study=alone"]) == 0
    started = [sys.executable, "-m", "unrolled", *command, "workers=2", "study=killed"]
    for _ in range(2):
        count = len(list(Path("outputs/killed").glob("*/record.json")))
        process = subprocess.Popen(started, stdout=subprocess.DEVNULL, start_new_session=True)
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and process.poll() is None:
            if len(list(Path("outputs/killed").glob("*/record.json"))) > count:
                break
            time.sleep(0.1)
        time.sleep(0.7)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(60)
    assert main([*command, "workers=2", "study=killed"]) == 0
    assert figures("killed") == figures("alone")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["cell=lstm,gru"], "needs something to search"),
        ([LR], r"hydra\.sweeper\.compare=cell: the command gives it no values"),
        (["cell=lstm,gru", LR, "seed=0,1"], "seed=0: the search uses this seed"),
        (["cell=lstm,gru", LR, "hydra.sweeper.n_trials=0"], "must be at least 1"),
        (["cell=lstm,gru", LR, "hydra.sweeper.keep=0"], "a share of the trials above 0"),
        (["cell=lstm,gru", LR, "hydra.sweeper.give_up_at=[0.5,0.2]"], "rising shares"),
        (["cell=lstm,gru", LR, "hydra.sweeper.sampler=grid"], "a grid takes lists"),
        (["cell=lstm,gru", LR, "hydra.sweeper.objective=test/loss"], "looks at validation"),
        (["cell=lstm,gru", LR, "hydra.sweeper.own=['lsmt: model.dropout=0,0.1']"], "nearest: lst"),
        (["cell=lstm,gru", LR, "hydra.sweeper.own=['lstm']"], "write what is searched"),
        (["cell=lstm,gru", "optimizer.lrr=interval(0.1, 1)"], r"did you mean optimizer\.lr"),
        (["cell=lstm,gru", "optimizer.lr=interval(1, 0.1)"], "from its lower to its upper end"),
        (["cell=lstm,gru", "model.dropout=interval(1.0, 2.0)"], "dropout"),
        (
            [
                *("cell=lstm,gru", "optimizer.lr=0.1,0.2", "hydra.sweeper.sampler=grid"),
                "hydra.sweeper.own=['lstm: model.dropout=0,0.1']",
            ],
            r"the searches differ in size \(lstm 4, gru 2\)",
        ),
    ],
)
def test_what_cannot_be_a_fair_study_is_refused(
    overrides: Overrides, options: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        fair(overrides(*options))
    assert not list(Path().glob("outputs/*/*/record.json"))
