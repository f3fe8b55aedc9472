"""What holds for every task and every head: a run goes on exactly, and gives its recorded figures
again."""

from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from unrolled.commands.evaluate import evaluate
from unrolled.commands.reproduce import reproduce
from unrolled.config.compose import compose_run
from unrolled.config.locations import config_directory
from unrolled.runs.record import read_record
from unrolled.training.checkpoints import best_checkpoint
from unrolled.training.module import TaskModule
from unrolled.training.run import run

TASKS = sorted(path.stem for path in (config_directory() / "task").glob("*.yaml"))
TASKS.remove("custom")
TINY = [
    *(
        "model.hidden_size=8",
        "model.embedding_size=6",
        "model.dropout=0.2",
        "trainer.max_steps=12",
    ),
    *("trainer.validate_every_steps=4", "trainer.log_every_steps=2", "task.batch_size=8"),
]
# Smaller data than a task's default, where that takes a while.
SMALL: dict[str, list[str]] = {
    "adding": ["task.length=8"],
    "classification": ["dataset=digits", "dataset.rows=true"],
    "copying": ["task.delay=5", "task.items=3"],
    "next_token": [
        *("dataset=sentence", "tokenizer=char", "task.context=window", "task.sample.length=5"),
    ],
    "language_modeling": ["dataset.first_year=2020", "task.sample.length=5"],
}

FOLD = ["validation=kfold", "folds=3"]
# Heads of tasks over tokens besides the one that all have, on less text.
TEXT = [
    *("dataset=sentence", f"dataset.text='{'the cat sat while rain fell on green hills ' * 20}'"),
    *("task.sequence_length=10", "task.sample.length=5"),
]
HEADS = {
    "language_modeling adaptive tied": [
        *("head=adaptive", "head.cutoffs=[6,12]", "model.tied_weights=true"),
        *TEXT,
    ],
    "language_modeling sampled tied": [
        *("head=sampled", "head.samples=10", "model.tied_weights=true"),
        *TEXT,
    ],
    "next_token adaptive": [
        *("head=adaptive", "head.cutoffs=[3]", "task.one_hot=true", *SMALL["next_token"]),
    ],
    "next_token sampled": [
        *("head=sampled", "head.samples=5", "head.proposal=log_uniform", *SMALL["next_token"]),
    ],
}
# How a language model may be trained besides.
TRAINING = {
    "language_modeling nt_asgd variable_length": [
        *("optimizer=nt_asgd", "optimizer.lr=20", "optimizer.non_monotone_interval=1"),
        *("task.variable_length=true", "trainer.validate_every_steps=2", *TEXT),
    ],
}
FOLDS = {f"{task} fold": "fold=1" for task in ("classification", "forecasting", "regression")}


def options(task: str, small: list[str] | None = None) -> list[str]:
    """The overrides of a run of a second or two.

    Args:
        small: in place of the task's own smaller data.
    """
    node = OmegaConf.load(config_directory() / "task" / f"{task}.yaml")
    examples = [
        f"task.{split}_examples={count}"
        for split, count in (("train", 44), ("validation", 12), ("test", 12))
        if f"{split}_examples" in node
    ]
    small = SMALL.get(task, []) if small is None else small
    return [f"task={task}", *TINY, *examples, *small]


class Cut(BaseException):
    """What stands for a crash: nothing may catch it and clean up."""


def cut_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    whole = TaskModule.training_step

    def training_step(self: TaskModule, *args: Any) -> Any:
        loss = whole(self, *args)
        if self.global_step == step:
            raise Cut
        return loss

    monkeypatch.setattr(TaskModule, "training_step", training_step)


@pytest.mark.parametrize("task", [*TASKS, *HEADS, *TRAINING, *FOLDS])
def test_a_run_goes_on_exactly_and_comes_out_the_same_again(
    task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, *_ = task.split()
    overrides = options(name, (HEADS | TRAINING).get(task))
    if task in FOLDS:
        overrides += [FOLDS[task], *FOLD]
    whole = run(compose_run([*overrides, "study=whole"]))
    assert whole.folder is not None
    cut = [*overrides, "study=cut", "trainer.checkpoint_every_steps=3"]
    for step in (2, 7):
        with monkeypatch.context() as patched, pytest.raises(Cut):
            cut_at(patched, step)
            run(compose_run(cut))
    again = run(compose_run(cut))
    assert again.folder is not None
    one, other = read_record(whole.folder), read_record(again.folder)
    assert len(other.timing["continued"]) == 1
    assert one.metrics == other.metrics
    assert one.figures == other.figures
    untimed = [[{**entry, "seconds": 0} for entry in record.history] for record in (one, other)]
    assert untimed[0] == untimed[1]
    weights = [best_checkpoint(folder).weights for folder in (whole.folder, again.folder)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert evaluate(whole.folder).identical
    assert reproduce(whole.folder).verdict == "identical"
