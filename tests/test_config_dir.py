"""``--config-dir``: groups of a person's own, in runs, sweeps, studies, and in what is stored."""

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from unrolled.config.compose import compose_run
from unrolled.runs.identity import identity
from unrolled.runs.record import find_runs, read_record

Command = Callable[..., CompletedProcess[str]]

QUICK = "name: quick\n_target_: unrolled.cells.rnn_tanh.RnnTanh\nbackend: auto\n"
STUDY = """# @package _global_
defaults:
  - override /cell: quick
study: theirs
hydra: {mode: MULTIRUN, sweeper: {params: {seed: "1,2"}}}
"""
OPTIMIZER = """
import torch

class Slow(torch.optim.SGD):
    def __init__(self, params, lr: float = 0.1, weight_decay: float = 0.0):
        super().__init__(params, lr=lr / 2, weight_decay=weight_decay)
"""


@pytest.fixture(autouse=True)
def _groups() -> None:
    for path, content in {"cell/quick": QUICK, "experiment/theirs": STUDY}.items():
        file = Path("mine", f"{path}.yaml")
        file.parent.mkdir(parents=True)
        file.write_text(content)


@pytest.mark.slow
def test_groups_of_ones_own_train_sweep_and_come_back(
    overrides: Callable[..., list[str]], command: Command
) -> None:
    study = overrides("--config-dir", "mine", "experiment=theirs", "trainer.max_steps=4")
    study += ["trainer.validate_every_steps=2", "hydra/launcher=basic"]
    assert "2 runs: 2 run" in command("train", *study, "--dry-run").stdout
    assert "2 finished" in command("train", *study).stdout
    assert "2 skipped" in command("train", *study).stdout
    folder = find_runs(Path("outputs/theirs"))[0]
    assert read_record(folder).config["cell"]["name"] == "quick"
    # What is stored needs the folder no more.
    Path("mine").rename("elsewhere")
    assert "exactly the recorded figures" in command("evaluate", str(folder)).stdout
    assert "no such choice" in command("train", "cell=quick", code=2).stderr
    assert "mine: no such folder" in command("train", *study, code=2).stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "more", [["hydra/launcher=basic"], ["hydra/launcher=basic", "hydra/sweeper=fair"]]
)
def test_the_working_folder_itself_may_have_the_groups(
    more: list[str], overrides: Callable[..., list[str]], command: Command
) -> None:
    Path("mine/cell").rename("cell")
    # The sweep's copy of the groups is below the outputs, which are below this folder.
    swept = overrides("--config-dir", ".", "cell=quick", "seed=1", "trainer.max_steps=4", *more)
    sizes = ["trainer.validate_every_steps=2", "optimizer.lr=0.01,0.02"]
    fair = ["hydra.sweeper.n_trials=2"] if len(more) > 1 else []
    assert "0 failed" in command("train", "-m", *swept, *sizes, *fair).stdout
    assert len(find_runs(Path("outputs"))) == (3 if fair else 2)
    assert not [*Path("outputs").rglob("quick.yaml")]


@pytest.mark.slow
def test_a_cell_of_ones_own_groups_is_checked_by_name(command: Command) -> None:
    sizes = ["--hidden-size", "8", "--batch-size", "2", "--length", "4"]
    checked = command("check", "quick", "--config-dir", "mine", *sizes).stdout
    assert "RnnTanh is sound" in checked


def test_the_code_of_an_optimizer_of_ones_own_is_part_of_a_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(Path.cwd()))
    Path("my_optimizers.py").write_text(OPTIMIZER)
    Path("mine/optimizer").mkdir()
    Path("mine/optimizer/slow.yaml").write_text(
        "name: slow\n_target_: my_optimizers.Slow\nlr: 0.1\nweight_decay: 0.0\n"
    )
    config = compose_run(["optimizer=slow"], "mine")
    before = identity(config, "f")
    Path("my_optimizers.py").write_text(OPTIMIZER.replace("lr / 2", "lr / 3"))
    assert identity(config, "f") != before
