"""Cross-validation from its command line: which runs it makes, on what, and what it refuses."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from omegaconf import DictConfig

from unrolled.cli import main
from unrolled.commands.evaluate import evaluate
from unrolled.commands.reproduce import reproduce
from unrolled.config.build import EVERYTHING
from unrolled.config.compose import compose_run
from unrolled.errors import ConfigError, DataError
from unrolled.runs.identity import plain
from unrolled.runs.record import find_runs, read_record
from unrolled.sweeps.expansion import plan
from unrolled.sweeps.sweep import Specifier, require_sweeper
from unrolled.tasks.build import check_task, prepare_data
from unrolled.tasks.task import Data

KFOLD = ["validation=kfold", "folds=3"]


def test_every_example_is_in_the_test_split_of_one_fold(signs: list[str]) -> None:
    folds = [prepare_data(compose_run([*signs, *KFOLD, f"fold={n}"])) for n in range(3)]
    assert len({data.fingerprint for data in folds}) == 1
    tested = np.concatenate([data.splits["test"][0].steps for data in folds])  # type: ignore[attr-defined]
    assert len(np.unique(tested)) == len(tested) == 60 * 5
    assert [data.describe()["sizes"]["train"]["examples"] for data in folds] == [32] * 3


def test_a_test_split_of_its_own_stays_where_the_folds_are_of_validation(signs: list[str]) -> None:
    own = [*signs, *KFOLD, "+dataset.held_out=12"]
    holding_out = "validation.holds_out=validation"
    folds = [prepare_data(compose_run([*own, holding_out, f"fold={n}"])) for n in range(3)]
    tested = [data.splits["test"][0].steps for data in folds]  # type: ignore[attr-defined]
    assert all((one == tested[0]).all() for one in tested)
    assert [d.describe()["sizes"]["validation"]["examples"] for d in folds] == [16] * 3
    with pytest.raises(ConfigError, match=r"has a test split of its own; take validation\.holds_"):
        prepare_data(compose_run([*own, "fold=0"]))


def test_the_data_is_read_once_for_all_folds(
    signs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []

    def prepare(config: DictConfig) -> Data:
        read.append(config.fold)
        return prepare_data(config)

    monkeypatch.setattr("unrolled.sweeps.sweep.prepare_data", prepare)
    specify = Specifier()
    folds = [specify(plain(compose_run([*signs, *KFOLD, f"fold={n}"]))) for n in range(3)]
    assert read == [0]
    assert len({spec.identity for spec in folds}) == 3


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["task=parity"], "validation=kfold: task=parity generates its examples"),
        ([], "validation=kfold: task=language_modeling takes data that is split already"),
    ],
)
def test_a_task_without_folds_refuses_them_before_anything_is_read(
    overrides: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *overrides, "validation=kfold"]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not Path("cache").exists()


def test_a_run_of_no_fold_in_particular_is_refused(signs: list[str]) -> None:
    with pytest.raises(ConfigError, match="a run has one of them; give fold=0, or another up to"):
        check_task(compose_run([*signs, *KFOLD]))


def test_more_folds_than_a_class_has_examples_are_refused(signs: list[str]) -> None:
    with pytest.raises(DataError, match="class 'negative' has 30 examples, too few for folds=31"):
        prepare_data(compose_run([*signs, *KFOLD, "folds=31", "fold=0"]))


def test_a_sweeper_that_knows_of_no_folds_is_told_which_ones(signs: list[str]) -> None:
    planned = plan([*signs, *KFOLD, "cell=gru,lstm"], multirun=True)
    planned.hydra.sweeper._target_ = "somebody.Sweeper"
    planned = replace(planned, configs=[compose_run([*signs, *KFOLD])])
    with pytest.raises(ConfigError, match=r"somebody\.Sweeper knows of no folds.*fold=0,1,2"):
        require_sweeper(planned)


@pytest.mark.slow
def test_a_cross_validated_sweep_is_stopped_gone_on_with_and_compared(
    signs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    long = ["trainer.max_steps=60", "trainer.validate_every_steps=20", "optimizer.lr=0.02"]
    command = ["train", "-m", *signs, *long, *KFOLD, "cell=rnn_tanh,gru"]
    process = subprocess.Popen(
        [sys.executable, "-m", "unrolled", *command, "workers=1"],
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while not _finished() and time.monotonic() < deadline:
        time.sleep(0.2)
    os.kill(process.pid, signal.SIGINT)
    process.wait(60)
    kept = {folder: read_record(folder).timing for folder in _finished()}
    assert 1 <= len(kept) < 6
    assert main(command) == 0
    folders = _finished()
    assert len(folders) == 6
    assert {folder: read_record(folder).timing for folder in kept} == kept
    records = [read_record(folder) for folder in folders]
    assert len({record.data["fingerprint"] for record in records}) == 1
    assert sorted(record.config["fold"] for record in records) == [0, 0, 1, 1, 2, 2]
    assert any("gru-seed1-fold2-" in record.name for record in records)
    capsys.readouterr()
    assert main(["compare", "outputs/signs"]) == 0
    assert "corrected resampled t-test" in capsys.readouterr().out
    told = json.loads(Path("outputs/signs/comparison/comparison.json").read_text())
    assert told["metric"] == "test/accuracy"
    assert [group["folds"] for group in told["groups"]] == [[0, 1, 2]] * 2
    assert evaluate(folders[-1], trusted=EVERYTHING).identical
    assert reproduce(folders[-1], trusted=EVERYTHING).verdict == "identical"


def _finished() -> list[Path]:
    if not Path("outputs/signs").is_dir():
        return []
    return [f for f in find_runs(Path("outputs/signs")) if read_record(f).state == "finished"]
