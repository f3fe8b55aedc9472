"""Completion knows the keys, choices and values that the configuration has, without Hydra."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from unrolled.config.candidates import Candidates
from unrolled.config.compose import compose_run
from unrolled.config.groups import config_groups
from unrolled.runs.identity import as_dict


def dotted(node: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in node.items():
        if isinstance(value, dict) and value:
            yield from dotted(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("cell=slstm", "model=large", "tokenizer=bpe"),
        ("task=classification",),
        ("task=copying", "trainer=gpu", "budget=equal"),
        ("experiment=hello_world",),
    ],
)
def test_every_key_of_a_composed_configuration_is_offered(words: tuple[str, ...]) -> None:
    names = Candidates(words).names()
    offered = {name.removesuffix("=") for name in names if not name.startswith("hydra")}
    composed = {*dotted(as_dict(compose_run(words)))}
    # What an experiment publishes is for reading.
    published = {key for key in composed if key.startswith("published")}
    assert composed - offered <= published
    assert offered - composed <= {*Candidates().groups, "published"}


def test_every_choice_that_hydra_knows_is_offered() -> None:
    candidates = Candidates()
    with config_groups() as groups:
        for group in candidates.groups:
            assert candidates.options(group) == groups.options(group)
        ours = {name for name in groups.names if name not in ("hydra", "dataset/split")}
    theirs = {"hydra/env", "hydra/help", "hydra/hydra_help", "hydra/hydra_logging"}
    assert ours - {*candidates.groups} <= {*theirs, "hydra/job_logging", "hydra/output"}


@pytest.mark.parametrize(
    ("words", "word", "said"),
    [
        ((), "cell=l", ["lru", "lstm", "lstm_cifg", "lstm_layernorm", "lstm_mogrifier"]),
        ((), "cell=lstm,g", ["lstm,gru", "lstm,gru_layernorm", "lstm,gru_reset_before"]),
        ((), "cell=gru,gru", ["gru,gru_layernorm", "gru,gru_reset_before"]),
        ((), "fail_fast=", ["true", "false"]),
        ((), "retry_failed=", ["true", "false", "null"]),
        ((), "trainer.accelerator=", ["cpu", "gpu"]),
        ((), "trainer.profiler=", ["simple", "advanced", "null"]),
        ((), "cell.backend=n", ["native"]),
        (("cell=lru",), "cell.activation=", ["gelu", "none"]),
        (("task=classification",), "task.pooling=", ["last", "mean", "max", "attention"]),
        ((), "optimizer.lr=", []),
        ((), "nothing=", []),
    ],
)
def test_values_where_they_are_few(words: tuple[str, ...], word: str, said: list[str]) -> None:
    key = word.partition("=")[0]
    found = Candidates(words).complete(word)
    assert [one.removeprefix(f"{key}=") for one in found][: len(said)] == said
    assert bool(found) == bool(said)


def test_keys_step_by_step_and_of_what_is_chosen() -> None:
    assert Candidates().complete("optim") == ["optimizer.", "optimizer="]
    assert Candidates().complete("optimizer.l") == ["optimizer.lr="]
    assert "cell.heads=" not in Candidates().complete("cell.")
    assert "cell.heads=" in Candidates(["cell=gru,slstm"]).complete("cell.")
    fair = Candidates(["hydra/sweeper=fair"]).complete("hydra.sweeper.n")
    assert fair == ["hydra.sweeper.n_trials="]


def test_options_of_a_class_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path.cwd()))
    Path("my_cells.py").write_text(
        "raise RuntimeError('imported')\n"
        "class Mine:\n    def __init__(self, i, h, leak: float = 1, fast: bool = False): ...\n"
    )
    own = Candidates(["cell._target_=my_cells.Mine", "seed=2"])
    assert own.complete("+cell.") == ["+cell.leak=", "+cell.fast="]
    assert own.complete("+cell.fast=t") == ["+cell.fast=true"]
    Path("torn.py").write_text("class A(:\n")
    assert Candidates(["cell._target_=torn.A"]).complete("+cell.") == []


def test_groups_of_ones_own_folder_and_files_that_cannot_be_read() -> None:
    for name, content in {"mine": "name: mine\nleak: 1\n", "torn": "a: [\n"}.items():
        path = Path("own/cell", f"{name}.yaml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    assert Candidates(config_dir="own").complete("cell=mi") == [
        "cell=mi" + e for e in ("n_gru", "n_lstm", "ne")
    ]
    assert "cell.leak=" in Candidates(["cell=mine"], "own").complete("cell.")
    assert "cell.leak=" not in Candidates(["cell=torn"], "own").complete("cell.")


def test_a_study_has_the_choices_of_the_study_that_it_begins_from() -> None:
    chosen = Candidates(["experiment=every_cell_words"]).chosen
    assert (chosen["scheduler"], chosen["budget"]) == (["cosine"], ["equal"])
    assert chosen["tokenizer"] == ["word"]
