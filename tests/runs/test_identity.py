import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from unrolled.config.compose import compose_run
from unrolled.errors import ConfigError
from unrolled.runs.identity import (
    ADDED_LATER,
    CANNOT_CHANGE_A_RESULT,
    CHANGES_ROUNDING_ONLY,
    as_dict,
    identity,
    plain,
    run_name,
    study_folder,
)

FINGERPRINT = "ab" * 32


@cache
def config(*overrides: str) -> DictConfig:
    return plain(compose_run(overrides))


def changed(key: str, value: object) -> DictConfig:
    result = config().copy()
    OmegaConf.update(result, key, value)
    return result


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("study", "other"),
        ("name_by", ["cell.name", "seed", "optimizer.lr"]),
        ("workers", 3),
        ("published", {"perplexity": 78.4}),
        ("paths.outputs", "/elsewhere"),
        ("paths.cache", "/elsewhere"),
        ("logger.csv", False),
        ("dataset.first_year", 1790),  # the fingerprint has what it changes
        ("task.sample.length", 7),
        ("task.sample.prompt", "Dear"),
        ("task.ngram_order", 3),
        ("trainer.name", "other"),
        ("trainer.log_every_steps", 3),
        ("trainer.profiler", "simple"),
        ("diagnostics.every_validations", 2),
    ],
)
def test_what_cannot_change_a_result_is_no_part_of_the_identity(key: str, value: object) -> None:
    assert identity(changed(key, value), FINGERPRINT) == identity(config(), FINGERPRINT)


def test_a_key_that_came_later_counts_only_where_it_says_more_than_its_absence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = config().copy()
    OmegaConf.set_struct(before, False)
    del before.model.zoneout
    monkeypatch.setitem(ADDED_LATER, "model.zoneout", 0.0)
    assert identity(config(), FINGERPRINT) == identity(before, FINGERPRINT)
    assert identity(changed("model.zoneout", 0.1), FINGERPRINT) != identity(before, FINGERPRINT)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", 0),
        ("cell.name", "mine"),
        ("cell._target_", "unrolled.cells.gru.GRU"),
        ("cell.backend", "eager"),
        ("model.hidden_size", 129),
        ("model.dropout", 0.1),
        ("model.forget_bias", 0.0),
        ("budget.parameters", 100_000),
        ("optimizer.lr", 0.1),
        ("scheduler.warmup_steps", 1),
        ("task.batch_size", 33),
        ("task.sequence_length", 65),
        ("task.evaluation_batch_size", 2),
        ("task.monitor", "validation/accuracy"),
        ("tokenizer.minimum_count", 2),
        ("trainer.max_steps", 1001),
        ("trainer.precision", "bf16"),
        ("trainer.gradient_clip", None),
        ("trainer.validate_every_steps", 101),
    ],
)
def test_what_can_change_a_result_changes_the_identity(key: str, value: object) -> None:
    assert identity(changed(key, value), FINGERPRINT) != identity(config(), FINGERPRINT)


def test_what_changes_rounding_only_is_there_and_part_of_the_identity() -> None:
    for key in CHANGES_ROUNDING_ONLY:
        before = OmegaConf.select(config(), key, throw_on_missing=True)
        assert identity(changed(key, f"not {before}"), FINGERPRINT) != identity(
            config(), FINGERPRINT
        )
    assert not set(CHANGES_ROUNDING_ONLY) & set(CANNOT_CHANGE_A_RESULT)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ((), "3f6031"),
        (("cell=gru", "seed=2", "budget=equal", "scheduler=cosine"), "a79ea6"),
        (("tokenizer=word", "optimizer=sgd", "model.layers=2", "model.dropout=0.2"), "0e58ca"),
    ],
)
def test_runs_keep_their_identities(overrides: tuple[str, ...], expected: str) -> None:
    """The folders of runs that were made before, all in fp32, are found by these."""
    assert identity(config(*overrides, "trainer.precision=fp32"), FINGERPRINT)[:6] == expected


def test_other_data_is_another_run() -> None:
    assert identity(config(), "cd" * 32) != identity(config(), FINGERPRINT)


def test_the_order_of_keys_is_no_part_of_the_identity() -> None:
    values = as_dict(config())
    backwards = OmegaConf.create(dict(reversed(values.items())))
    assert isinstance(backwards, DictConfig)
    assert identity(backwards, FINGERPRINT) == identity(config(), FINGERPRINT)


def test_asking_for_the_identity_leaves_the_configuration_alone() -> None:
    before = as_dict(config())
    identity(config(), FINGERPRINT)
    assert as_dict(config()) == before


def test_it_is_the_same_in_every_process() -> None:
    """Python's own hashes differ from process to process; a sweep that goes on must not."""
    lines = (
        "from omegaconf import OmegaConf",
        "from unrolled.runs.identity import identity",
        "print(identity(OmegaConf.create({'seed': 1, 'cell': {'name': 'gru'}}), '00'))",
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", "; ".join(lines)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    small = OmegaConf.create({"seed": 1, "cell": {"name": "gru"}})
    assert found == {identity(small, "00")}


def test_plain_resolves_and_says_choices_as_words() -> None:
    values = config("model.dropout=0.25")
    assert values.model.layer_dropout == 0.25
    assert values.trainer.precision == "auto"
    assert values.cell.backend == "auto"
    with pytest.raises(Exception, match="typo"):
        _ = values.model.typo


def test_a_run_is_named_by_its_cell_and_seed() -> None:
    assert run_name(config("cell=gru", "seed=0"), "3fa2c1" + "0" * 58) == "gru-seed0-3fa2c1"


def test_swept_keys_are_in_the_name() -> None:
    swept = config("name_by=[cell.name,seed,optimizer.lr,model.forget_bias,task.monitor]")
    rate = f"lr{swept.optimizer.lr}"
    expected = f"lstm-seed1-{rate}-forget_biasnone-monitorvalidation_loss-3fa2c1"
    assert run_name(swept, "3fa2c1") == expected


def test_a_swept_group_is_in_the_name_by_its_choice() -> None:
    swept = config("optimizer=sgd", "name_by=[cell.name,seed,optimizer,scheduler,model]")
    assert run_name(swept, "3fa2c1") == "lstm-seed1-sgd-constant-small-3fa2c1"


def test_a_swept_group_whose_choices_have_no_name_leaves_no_gap() -> None:
    swept = config("name_by=[cell.name,seed,logger]")
    assert run_name(swept, "3fa2c1") == "lstm-seed1-3fa2c1"


def test_a_name_holds_nothing_that_a_folder_could_not() -> None:
    odd = changed("cell.name", "my cell/../x")
    assert "/" not in run_name(odd, "3fa2c1")
    assert " " not in run_name(odd, "3fa2c1")


def test_naming_by_a_key_that_is_not_there_is_refused() -> None:
    for key in ("model.wdith", "nothing"):
        wrong = changed("name_by", ["cell.name", key])
        with pytest.raises(ConfigError, match=f"name_by names {key}"):
            run_name(wrong, "3fa2c1")


def test_a_runs_folder_is_in_its_study() -> None:
    chosen = changed("study", "mine")
    OmegaConf.update(chosen, "paths.outputs", "~/results")
    name = "gru-seed1-3fa2c1"
    assert study_folder(chosen) / name == Path.home() / "results/mine" / name


def test_the_code_of_a_cell_or_a_task_of_ones_own_is_part_of_its_identity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    file = tmp_path / "cells_of_mine.py"
    mine = "from unrolled.cells.gru import GRU as Mine\n"
    file.write_text(mine)
    config = compose_run(["cell._target_=cells_of_mine.Mine"])
    found = []
    for code in ("a = 1", "a = 2", "a = 1"):
        file.write_text(mine + code)
        found.append(identity(config, "data"))
    assert found[0] == found[2] != found[1]
    # The same code of a task is another part of the identity.
    task = changed("task._target_", "cells_of_mine.Mine")
    by_task = []
    for code in ("a = 1", "a = 2", "a = 1"):
        file.write_text(code)
        by_task.append(identity(task, "data"))
    assert by_task[0] == by_task[2] != by_task[1]
    ours = compose_run(["cell._target_=unrolled.cells.gru.GRU"])
    assert identity(ours, "data") == identity(ours.copy(), "data")


def test_without_folds_a_run_is_the_one_that_it_was_before_there_were_folds() -> None:
    before = config().copy()
    OmegaConf.set_struct(before, False)
    for key in ("folds", "fold", "validation"):
        del before[key]
    assert identity(before, FINGERPRINT) == identity(config(), FINGERPRINT)


def test_each_fold_is_a_run_with_a_name_of_its_own() -> None:
    folds = config("validation=kfold", "fold=3")
    assert run_name(folds, "3fa2c1") == "lstm-seed1-fold3-3fa2c1"
    named = config("validation=kfold", "fold=3", "name_by=[fold,cell.name,folds]")
    assert run_name(named, "3fa2c1") == "fold3-lstm-folds5-3fa2c1"
    known = {
        identity(config(*overrides), FINGERPRINT)
        for overrides in (
            ("seed=1",),
            ("validation=kfold", "fold=3"),
            ("validation=kfold", "fold=2"),
            ("validation=kfold", "fold=3", "folds=10"),
            ("validation=kfold", "fold=3", "validation.holds_out=validation"),
        )
    }
    assert len(known) == 5
