"""``unrolled diagnose`` on runs that training wrote, of several tasks, and on what is none."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import torch
from omegaconf import DictConfig

from unrolled.commands.diagnose import TOKENS
from unrolled.runs.diagnostics import read_diagnostics
from unrolled.runs.figures import Curve, Matrix, from_plain
from unrolled.runs.record import find_runs, read_record
from unrolled.training.run import run

Command = Callable[..., CompletedProcess[str]]
FEW = ("--tokens", "600")


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    """A copy of a finished LSTM run, to be written to."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


def trained_with(configured: DictConfig) -> str:
    folder = run(configured).folder
    assert folder is not None
    return str(folder)


def written(folder: Path | str) -> dict[str, Any]:
    found = json.loads((Path(folder) / "diagnostics.json").read_text())
    assert isinstance(found, dict)
    return found


def change_weights(folder: Path, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    path = folder / "checkpoints" / "best.ckpt"
    content = torch.load(path, weights_only=True)
    content["state_dict"] = {k: change(v) for k, v in content["state_dict"].items()}
    torch.save(content, path)


def test_a_run_is_diagnosed_and_its_folder_keeps_it(folder: Path, command: Command) -> None:
    before = read_record(folder)
    printed = command("diagnose", str(folder), *FEW).stdout
    for said in ("slope after training", "layer 1, f", "time constant", "lyapunov exponent"):
        assert said in printed
    assert before.name.split("-")[0] in printed
    found = written(folder)
    assert found["split"] == "validation"
    numbers = found["numbers"]
    assert numbers["gradients/slope_at_initialization"] < 0
    assert numbers["gates/layer_1/f/mean_opening"] == pytest.approx(
        sum(found["units"]["layer_1"]["f"]["opening"]) / 16
    )
    assert numbers["memory/length"] >= 1
    assert 0 < numbers["dynamics/memory_capacity"] <= 32
    figures = {
        name: from_plain(figure) for name, figure in read_diagnostics(folder)["figures"].items()
    }
    flow = figures["gradient_flow_after_training"]
    assert isinstance(flow, Curve)
    assert flow.logarithmic
    assert isinstance(figures["gates"], Matrix)
    assert {"memory_length", "shuffled_context", "loss_by_position"} <= {*figures}
    assert {"time_constants", "lyapunov_exponents", "memory_capacity"} <= {*figures}
    assert read_record(folder) == before


def test_only_some_parts_of_another_split_as_json(folder: Path, command: Command) -> None:
    options = ("--only", "gates, gradients", "--split", "train", "--json", *FEW)
    found = json.loads(command("diagnose", str(folder), *options).stdout)
    (of,) = found["runs"].values()
    assert {name.partition("/")[0] for name in of["numbers"]} == {"gradients", "gates"}
    assert written(folder)["parts"] == ["gradients", "gates"]
    assert written(folder)["numbers"] == of["numbers"]


def test_the_same_command_again_finds_the_same(folder: Path, command: Command) -> None:
    command("diagnose", str(folder), *FEW)
    before = written(folder)
    command("diagnose", str(folder), *FEW)
    assert written(folder) == before


def test_two_runs_side_by_side_and_token_by_token(
    folder: Path, configure_in: Callable[..., DictConfig], tmp_path: Path, command: Command
) -> None:
    other = trained_with(configure_in(tmp_path, "cell=rnn_tanh", "trainer.max_steps=10"))
    printed = command("diagnose", str(folder), other, *FEW, "--json").stdout
    (pair,) = json.loads(printed)["differences"]
    assert not pair["reason"]
    gains = [one["gain"] for one in pair["worse"]]
    # Sixty steps of training tell more than ten.
    assert gains == sorted(gains, reverse=True)
    assert gains[0] > 0.1
    assert all(one["token"] for one in pair["worse"])
    printed = command("diagnose", str(folder), other, *FEW).stdout
    assert "RnnTanh has no gates" in printed
    assert "predicts better than" in printed
    # Another tokenizer, so other tokens.
    third = trained_with(configure_in(tmp_path, "tokenizer=byte", "trainer.max_steps=10"))
    assert "the same tokens" in command("diagnose", str(folder), third, *FEW).stdout


def test_initial_weights_are_those_that_training_began_with(
    configure: Callable[..., DictConfig],
) -> None:
    from unrolled.training.checkpoints import best_checkpoint
    from unrolled.training.load import load_run

    overrides = ("optimizer=sgd", "optimizer.lr=1e-30", "model.initialization=orthogonal")
    stored = load_run(Path(trained_with(configure(*overrides, "seed=7", "cell=gru"))))
    state = torch.get_rng_state()
    initial = stored.initial_model().state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    weights = best_checkpoint(stored.folder).weights
    for name, weight in initial.items():
        # What is zero moves by such a step, too.
        torch.testing.assert_close(weights[f"model.{name}"], weight, rtol=0, atol=1e-20)


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        ["task=copying", "dataset=none", "tokenizer=none", "cell=gru"],
        ["task=classification", "dataset=digits", "tokenizer=none", "cell=lstm"],
        [
            "task=classification", "dataset=sotu_paragraphs", "cell=rnn_relu",
            "task.bidirectional=true", "dataset.first_year=1960",
        ],
        ["task=forecasting", "dataset=sunspots", "tokenizer=none", "cell=indrnn"],
    ],
    ids=lambda overrides: overrides[0] + overrides[1],
)  # fmt: skip
def test_tasks_without_running_text(overrides: list[str], command: Command) -> None:
    from unrolled.config.compose import compose_run

    small = [
        "model.hidden_size=8", "trainer.max_steps=4", "trainer.validate_every_steps=2",
        "trainer.log_every_steps=2",
    ]  # fmt: skip
    folder = trained_with(compose_run([*overrides, *small]))
    printed = command("diagnose", folder, *FEW).stdout
    assert "memory length needs running text" in printed
    numbers = written(folder)["numbers"]
    assert math.isfinite(float(numbers["gradients/slope_after_training"]))
    assert "dynamics/layer_1/effective_rank" in numbers
    assert "gates/layer_1/dead_units" in numbers
    assert not any(name.startswith("memory/") for name in numbers)


def test_weights_that_are_not_numbers(folder: Path, command: Command) -> None:
    change_weights(folder, lambda weights: weights * math.nan)
    printed = command("diagnose", str(folder), *FEW).stdout
    assert "the trained weights are not finite" in printed
    assert {name for name in written(folder)["numbers"] if "after" in name} == set()
    assert written(folder)["numbers"]["gradients/slope_at_initialization"] < 0


def test_states_that_overflow(folder: Path, command: Command) -> None:
    change_weights(folder, lambda weights: weights * 1e30)
    printed = command("diagnose", str(folder), "--only", "gradients,gates,dynamics", *FEW).stdout
    assert "slope at initialization" in printed
    assert (folder / "diagnostics.json").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--only", "gradient"], "--only gradient: no such part; did you mean gradients?"),
        (["--only", ","], "--only: names nothing"),
        (["--tokens", "0"], "--tokens 0: must be at least 1"),
    ],
)
def test_options_that_mean_nothing(
    options: list[str], message: str, trained: Path, command: Command
) -> None:
    assert message in command("diagnose", str(trained), *options, code=2).stderr


def test_folders_without_a_trained_run(folder: Path, tmp_path: Path, command: Command) -> None:
    assert "no such run folder" in command("diagnose", str(tmp_path / "none"), code=2).stderr
    shutil.copytree(folder, tmp_path / "bare")
    shutil.rmtree(tmp_path / "bare" / "checkpoints")
    assert "no such checkpoint" in command("diagnose", str(tmp_path / "bare"), code=2).stderr
    # What can be said of the others is said.
    options = ("--only", "gates", *FEW)
    ended = command("diagnose", str(tmp_path / "bare"), str(folder), *options, code=1)
    assert "layer 1, f" in ended.stdout
    assert "left out: " in ended.stderr


def test_an_unfinished_run_is_called_so(folder: Path, command: Command) -> None:
    record = read_record(folder)
    record.status = "failed"
    record.error = {"type": "KeyboardInterrupt", "message": "", "traceback": ""}
    record.write(folder)
    printed = command("diagnose", str(folder), "--only", "gates", *FEW).stdout
    assert "the run is interrupted; this is its best checkpoint so far" in printed


def test_a_cell_of_ones_own_with_control_flow(
    overrides: Callable[..., list[str]], command: Command
) -> None:
    Path("my_cells.py").write_text(
        "import torch\n"
        "from torch import nn\n"
        "from unrolled.cells.base import Cell\n\n\n"
        "class Mine(Cell):\n"
        "    def __init__(self, input_size, hidden_size):\n"
        "        super().__init__(input_size, hidden_size)\n"
        "        self.W = nn.Linear(input_size, hidden_size)\n"
        "        self.U = nn.Linear(hidden_size, hidden_size)\n\n"
        "    def project(self, x):\n"
        "        return self.W(x)\n\n"
        "    def step(self, z, state):\n"
        "        (h,) = state\n"
        "        g = torch.sigmoid(z + self.U(h))\n"
        "        for _ in range(1 if float(g.sum()) < 0 else 2):\n"
        "            h = g * h + (1 - g) * torch.tanh(z)\n"
        "        return (h,)\n"
    )
    command("train", *overrides("cell._target_=my_cells.Mine", "trainer.max_steps=4"))
    (folder,) = map(str, find_runs(Path("outputs")))
    assert "--trust my_cells" in command("diagnose", folder, code=2).stderr
    printed = command("diagnose", folder, "--trust", "my_cells", *FEW).stdout
    assert "Mine does not name its gates" in printed
    assert "layer 1, sigmoid 1" in printed
    assert "lyapunov" in printed


def test_the_default_is_said_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    from unrolled.cli import main

    with pytest.raises(SystemExit):
        main(["diagnose", "--help"])
    assert str(TOKENS) in capsys.readouterr().out
