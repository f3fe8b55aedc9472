"""Every file of conf composes, builds what it names, and says when to choose it."""

from pathlib import Path

import pytest

from unrolled.config.build import EVERYTHING, target_of
from unrolled.config.compose import compose_run
from unrolled.config.locations import config_directory, experiments_directory
from unrolled.runs.identity import plain
from unrolled.sweeps.expansion import plan

CHOICES = sorted(path for path in config_directory().glob("*/*.yaml"))
NEEDS = {
    "cell/custom": ["cell._target_=unrolled.cells.gru.GRU", "cell.name=custom"],
    "task/custom": ["task._target_=my_tasks.MyTask", "task.name=custom"],
    "dataset/custom": ["dataset._target_=my_data.load", "dataset.name=custom"],
    "dataset/text": ["dataset.path=x.txt"],
    "dataset/splits": ["dataset.path=x"],
    "dataset/hub": ["dataset.path=x"],
    "dataset/idx": ["dataset.path=x"],
    "dataset/label_lines": ["dataset.path=x.txt"],
    "dataset/table": ["dataset.path=x.csv"],
    "dataset/arrays": ["dataset.path=x.npz"],
    "dataset/folders": ["dataset.path=x"],
    "dataset/hub_labeled": ["dataset.path=x"],
    "dataset/series": ["dataset.path=x"],
}


def name_of(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


@pytest.fixture(autouse=True)
def _own_code(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("my_tasks.py").write_text("class MyTask: pass\n")
    Path("my_data.py").write_text("def load(): pass\n")
    monkeypatch.syspath_prepend(str(Path.cwd()))


@pytest.mark.parametrize("path", CHOICES, ids=name_of)
def test_every_choice_composes_and_names_something_there_is(path: Path) -> None:
    group, choice = path.parent.name, path.stem
    config = plain(compose_run([f"{group}={choice}", *NEEDS.get(name_of(path), [])]))
    node = config[group]
    if "_target_" in node:
        assert callable(target_of(node, trusted=EVERYTHING))
    if "name" in node:
        assert node.name == choice


@pytest.mark.parametrize("path", CHOICES, ids=name_of)
def test_every_choice_says_when_to_choose_it(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    # Hydra wants the package of what is in a file first.
    first = next(line for line in lines if not line.startswith("# @package"))
    assert first.startswith("# ")
    assert len(first) > 30


@pytest.mark.parametrize(
    "path", sorted(experiments_directory().glob("*/config.yaml")), ids=lambda p: p.parent.name
)
def test_every_experiment_composes_and_is_its_own_study(path: Path) -> None:
    # One seed stands for all that a study has, which would be composed a hundred times.
    configs = plan([f"experiment={path.parent.name}", "seed=1"]).configs
    assert all(config.study == path.parent.name for config in configs)


def test_the_issue_s_choices_are_all_there() -> None:
    there = {name_of(path) for path in CHOICES}
    expected = {
        "dataset": [
            *("sotu", "text", "splits", "hub", "sotu_paragraphs", "table", "polarity"),
            *("label_lines", "folders", "idx", "digits", "hub_labeled", "arrays"),
        ],
        "tokenizer": ["char", "byte", "word", "bpe"],
        "cell": [
            "rnn_tanh",
            "rnn_relu",
            "lstm",
            "gru",
            "irnn",
            "lstm_peephole",
            "lstm_cifg",
            "lstm_layernorm",
            "lstm_mogrifier",
            "gru_reset_before",
            "gru_layernorm",
            "mgu",
            "ugrnn",
            "rhn",
            "indrnn",
            "sru",
            "qrnn",
            "min_gru",
            "min_lstm",
            "slstm",
            "lru",
        ],
        "budget": ["none", "equal", "equal_flops"],
        "validation": ["holdout", "kfold"],
        "optimizer": ["adamw", "adamw_ema", "adam", "sgd", "nt_asgd", "rmsprop"],
        "scheduler": ["constant", "cosine", "exponential", "step", "plateau"],
        "trainer": ["cpu", "gpu", "ddp", "deterministic", "one_batch", "overfit", "profiler"],
        "logger": ["tensorboard", "csv", "both", "none"],
    }
    assert {f"{g}/{c}" for g, choices in expected.items() for c in choices} <= there
