"""The adding problem, and what any task beside language modeling gets from the contract."""

import numpy as np
import pytest
from omegaconf import DictConfig

from unrolled.commands.evaluate import evaluate
from unrolled.commands.generate import generate_side_by_side
from unrolled.commands.reproduce import reproduce
from unrolled.config.compose import compose_run
from unrolled.errors import ConfigError
from unrolled.runs.record import read_record
from unrolled.tasks.adding import CHANCE
from unrolled.tasks.build import check_task, prepare_data
from unrolled.tasks.examples import ArrayData
from unrolled.tasks.generation import Request
from unrolled.training.run import run

SMALL = (
    "task=adding", "task.length=8", "task.train_examples=70", "task.validation_examples=30",
    "task.test_examples=30", "task.batch_size=16", "task.evaluation_batch_size=12",
    "model.hidden_size=8", "trainer.max_steps=20", "trainer.validate_every_steps=10",
    "trainer.log_every_steps=5", "trainer.threads=1",
)  # fmt: skip


def config(*overrides: str) -> DictConfig:
    return compose_run([*SMALL, *overrides])


def sums(*overrides: str) -> ArrayData:
    data = prepare_data(config(*overrides))
    assert isinstance(data, ArrayData)
    return data


@pytest.mark.parametrize("length", [2, 3, 8, 51])
def test_two_marks_one_in_each_half_and_their_sum(length: int) -> None:
    for pair in sums(f"task.length={length}").splits.values():
        inputs, targets = map(np.asarray, pair)
        numbers, marks = inputs[..., 0], inputs[..., 1]
        assert marks.sum(1).tolist() == [2.0] * len(inputs)
        assert marks[:, : length // 2].sum(1).tolist() == [1.0] * len(inputs)
        assert numbers.min() >= 0
        assert numbers.max() < 1
        np.testing.assert_allclose((numbers * marks).sum(1), targets[:, 0], rtol=1e-6)


def test_chance_is_what_the_mean_answer_has() -> None:
    targets = np.asarray(sums("task.train_examples=200000").splits["train"][1])
    assert float(np.square(targets - 1).mean()) == pytest.approx(CHANCE, rel=0.01)
    assert float(targets.mean()) == pytest.approx(1, abs=0.01)


def test_the_data_follows_from_its_own_seed_and_sizes() -> None:
    first = sums().fingerprint
    assert sums("seed=7", "model.hidden_size=4").fingerprint == first
    for other in ("task.data_seed=1", "task.length=9", "task.test_examples=31"):
        assert sums(other).fingerprint != first
    more = sums("task.train_examples=140").splits
    for split in ("validation", "test"):
        np.testing.assert_array_equal(more[split][0], sums().splits[split][0])


def test_a_run_records_the_task_and_can_be_evaluated_and_repeated() -> None:
    folder = run(config()).folder
    assert folder is not None
    record = read_record(folder)
    assert record.task["name"] == record.config["task"]["name"] == "adding"
    assert record.description.baselines["chance"]["test/mse"] == pytest.approx(1 / 6)
    assert record.metrics["test/mse"] == record.metrics["test/loss"] > 0
    assert record.data["sizes"]["train"] == {"examples": 70, "length": 8}
    # Two passes of 4 steps (16, 16, 16, 16, then 6 examples) and more, of 8 steps of time each.
    assert record.timing["tokens"] == 20 * 70 // 5 * 8
    assert evaluate(folder).identical
    assert reproduce(folder).verdict == "identical"
    with pytest.raises(ConfigError, match="task=adding writes no text"):
        generate_side_by_side([folder], Request(), out=None)  # type: ignore[arg-type]


def test_shuffled_examples_go_on_from_any_step(monkeypatch: pytest.MonkeyPatch) -> None:
    from unrolled.training.module import TaskModule

    whole = run(config("study=whole")).folder
    step = TaskModule.training_step
    for stop in (3, 7, 12):

        def stopped(self: TaskModule, *args: object, at: int = stop) -> object:
            if self.global_step == at:
                raise KeyboardInterrupt
            return step(self, *args)  # type: ignore[arg-type]

        monkeypatch.setattr(TaskModule, "training_step", stopped)
        cut = config("study=cut", "trainer.checkpoint_every_steps=1")
        with pytest.raises(KeyboardInterrupt):
            run(cut)
    monkeypatch.setattr(TaskModule, "training_step", step)
    again = run(cut).folder
    assert whole is not None
    assert again is not None
    one, other = read_record(whole), read_record(again)
    assert other.timing["continued"][-1]["step"] > 0
    assert one.metrics == other.metrics
    keys = [key for key in one.history[-1] if key != "seconds"]
    assert [[h[k] for k in keys] for h in one.history] == [
        [h[k] for k in keys] for h in other.history
    ]


@pytest.mark.slow
def test_a_gated_cell_learns_what_a_short_sequence_asks_for() -> None:
    options = ("cell=gru", "task.length=10", "task.train_examples=5000", "optimizer.lr=0.01")
    sizes = ("model.hidden_size=32", "task.batch_size=50", "trainer.max_steps=600")
    folder = run(config(*options, *sizes, "trainer.validate_every_steps=200")).folder
    assert folder is not None
    assert read_record(folder).metrics["test/mse"] < CHANCE / 10


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["task.length=1"], "task.length=1: must be at least 2"),
        (["task.train_examples=5"], "task.batch_size=16: there are task.train_examples=5"),
        (["task.length=ten"], "task.length=ten: must be int"),
        (["task.monitor=validation/mes"], "no such metric; did you mean validation/mse"),
        (["tokenizer=char"], "task=adding reads no text; take tokenizer=none"),
        (["dataset=sotu"], "task=adding generates its own examples.*dataset=none"),
    ],
)
def test_what_the_task_cannot_do_is_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_task(config(*overrides))


def test_running_text_needs_a_data_set_and_is_told_which() -> None:
    with pytest.raises(ConfigError, match=r"takes running text.*fit: .*sotu.*splits.*text"):
        check_task(compose_run(["dataset=none"]))


def test_language_modeling_needs_a_tokenizer() -> None:
    with pytest.raises(ConfigError, match="reads text by its tokens; choose one"):
        check_task(compose_run(["tokenizer=none"]))
