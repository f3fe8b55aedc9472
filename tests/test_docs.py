"""What docs/tasks.md and docs/data.md show, as a person would type it, on less data."""

import json
import re
import shlex
import sys
from pathlib import Path

import pytest

from unrolled.cli import main
from unrolled.commands.reproduce import reproduce
from unrolled.config.build import EVERYTHING, build
from unrolled.config.compose import compose_run
from unrolled.config.locations import config_directory
from unrolled.data.labeled import LabeledSequences
from unrolled.runs.record import find_runs, read_record

PAGE = Path(__file__).parents[1] / "docs" / "tasks.md"
DATA = PAGE.with_name("data.md").read_text(encoding="utf-8")
SIZES = ["+task.length=6", "+task.examples=64"]
SMALL = [
    "model.hidden_size=8", "trainer.max_steps=20",
    "trainer.validate_every_steps=10", "trainer.log_every_steps=5", "study=largest",
]  # fmt: skip
TASK = "task._target_=my_tasks.Largest"
NO_DATA = ["dataset=none", "tokenizer=none"]


@pytest.fixture
def task_file() -> Path:
    text = PAGE.read_text(encoding="utf-8")
    path = Path("my_tasks.py")
    path.write_text(text.partition("```python\n# my_tasks.py\n")[2].partition("```")[0])
    return path


@pytest.mark.slow
def test_a_task_of_ones_own_is_trained_swept_compared_and_repeated(
    task_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = ["train", "-m", TASK, *NO_DATA, *SIZES, *SMALL, "cell=rnn_tanh,gru", "seed=1,2"]
    assert main(sweep) == 0
    assert main([*sweep, "--dry-run"]) == 0
    assert "4 runs: 4 skip" in capsys.readouterr().out
    runs = find_runs(Path("outputs/largest"))
    record = read_record(runs[0])
    assert record.task["name"] == "Largest"
    assert record.description.primary == "rmse"
    assert record.metrics["test/rmse"] == pytest.approx(record.metrics["test/loss"] ** 0.5)
    assert list(runs[0].glob("events.out.*"))
    assert main(["compare", "outputs/largest"]) == 0
    shown = capsys.readouterr().out
    assert "validation rmse" in shown
    assert "mean" in shown
    comparison = json.loads(Path("outputs/largest/comparison/comparison.json").read_text())
    assert comparison["metric"] == "validation/rmse"
    assert len(comparison["groups"]) == 2
    assert reproduce(runs[0], trusted=EVERYTHING).verdict == "identical"
    assert main(["evaluate", str(runs[0])]) == 2
    assert "--trust my_tasks" in capsys.readouterr().err
    # Other code is another task.
    task_file.write_text(task_file.read_text().replace("numbers.max", "numbers.min"))
    assert main([*sweep, "--dry-run"]) == 0
    assert "4 runs: 4 run" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "override", "said"),
    [
        ("", "+task.lenght=6", "task.lenght: Largest has no such hyperparameter; did you mean"),
        ("", "+task.length=six", "task.length=six: must be int"),
        ("", "tokenizer=char", "task=Largest reads no text; take tokenizer=none"),
        ("", "dataset=sotu", "generates its own examples and takes no data set"),
        ("", "task.monitor=validation/rmsee", "no such metric; did you mean validation/rmse"),
        ("def evaluator", "", "Largest lacks evaluator"),
        (
            '"rmse": Metric("min")',
            "",
            "primary names the metric rmse, and Largest.metrics has",
        ),
        ("(ExampleTask)", "", "not a task; a task is a subclass of unrolled.tasks.task.Task"),
        ('"rmse": mse**0.5', "", "metrics names rmse, which its evaluator does not compute"),
        ('"min", "squared error"', "", "my_tasks.py, line"),
        ("head.scores(hidden), targets", "", "my_tasks.py, line 15: TypeError: "),
    ],
)
def test_a_task_that_breaks_the_contract_is_refused_in_one_sentence(
    task_file: Path,
    change: str,
    override: str,
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "my_tasks", raising=False)
    text = task_file.read_text()
    assert change in text
    instead = "def unused" if change.startswith("def") else ""
    task_file.write_text(text.replace(change, instead) if change else text)
    options = [override] if override else []
    group = override.partition("=")[0]
    data = [choice for choice in NO_DATA if not choice.startswith(f"{group}=")]
    assert main(["train", TASK, *SMALL, *data, *options]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") <= 2


def test_every_data_set_has_its_command_on_the_page_of_data_sets() -> None:
    shown = set(re.findall(r"dataset=(\w+)", DATA))
    there = {path.stem for path in (config_directory() / "dataset").glob("*.yaml")}
    assert there - {"custom", "none"} <= shown


@pytest.mark.parametrize("command", re.findall(r"^\|.*\| `(dataset=[^`]*)`", DATA, re.MULTILINE))
def test_the_commands_of_the_page_of_data_sets_compose(command: str) -> None:
    overrides = shlex.split(command)
    if (config_directory() / "dataset" / f"{overrides[0].partition('=')[2]}.yaml").is_file():
        compose_run(overrides)


def test_a_data_set_of_ones_own_as_the_page_shows_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code = DATA.partition("```python\n# my_data.py\n")[2].partition("```")[0]
    Path("my_data.py").write_text(code)
    monkeypatch.syspath_prepend(str(Path.cwd()))
    config = compose_run(["dataset._target_=my_data.load", "+dataset.examples=50"])
    data = build(config.dataset, trusted=EVERYTHING)
    assert isinstance(data, LabeledSequences)
    assert len(data.inputs) == 50
    assert [len(places) for places in data.places().values()] == [40, 5, 5]
