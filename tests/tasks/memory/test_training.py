"""The memory tasks as runs: batches, metrics, what is refused, and that something is learned."""

import math

import numpy as np
import pytest
import torch

from unrolled.config.compose import compose_run
from unrolled.data.batches import IGNORE
from unrolled.data.sequences import Sequences
from unrolled.errors import ConfigError
from unrolled.models.heads import LinearHead, MultiLabelHead
from unrolled.runs.figures import Curve, from_plain
from unrolled.runs.record import read_record
from unrolled.tasks.build import build_task, check_task, prepare_data
from unrolled.tasks.memory.answers import Answers
from unrolled.tasks.memory.dyck import Sets
from unrolled.training.run import run

SIZES = (
    "task.train_examples=300", "task.validation_examples=40", "task.test_examples=60",
    "task.batch_size=20", "task.evaluation_batch_size=16",
)  # fmt: skip


class Given(LinearHead):
    """Scores that are the hidden values themselves."""

    def __init__(self) -> None:
        super().__init__(1, 1)

    def scores(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden


class GivenSets(MultiLabelHead):
    """The same for sets."""

    def __init__(self) -> None:
        super().__init__(1, 1)

    def scores(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden


def test_answers_are_added_up_over_the_steps_that_ask() -> None:
    scores = torch.randn(5, 3, 4, generator=torch.Generator().manual_seed(1))
    targets = torch.tensor([[0, 1, 2], [IGNORE, 3, 0], [1, IGNORE, 0], [2, 0, 3], [0, 1, IGNORE]])
    answers = Answers(0, {}, 5)
    # In two batches, padded as batches are.
    answers.update(Given(), scores[:, :2], targets[:, :2])
    answers.update(Given(), scores[:4, 2:], targets[:4, 2:])
    losses, hits, asked, strings = [], [], [], []
    for column in range(3):
        right = []
        for step in range(5):
            target = int(targets[step, column])
            if target == IGNORE:
                continue
            row = scores[step, column].double()
            losses.append(float(row.logsumexp(0) - row[target]))
            if target:
                right.append(int(row.argmax()) == target)
        hits.append(sum(right))
        asked.append(len(right))
        strings.append(all(right))
    found = answers.compute()
    assert found["loss"] == pytest.approx(np.mean(losses), rel=1e-6)
    assert found["accuracy"] == sum(hits) / sum(asked)
    assert found["sequence_accuracy"] == sum(strings) / 3


def test_sequences_of_a_training_batch_have_similar_lengths() -> None:
    options = compose_run(["task=bucket_sort", *SIZES])
    batches = build_task(options.task).batches(prepare_data(options), seed=1)
    spreads = [np.ptp(np.asarray(batch.lengths)) for batch in batches.train_dataloader()]
    # Of 2 to 80 steps: batches drawn at random span almost all of them.
    assert np.mean(spreads) < 20


def test_a_set_is_right_as_a_whole() -> None:
    targets = torch.tensor([[[1, 0], [1, 1]], [[0, 1], [IGNORE, IGNORE]]])
    scores = torch.tensor([[[2.0, -1.0], [1.0, -3.0]], [[-1.0, 1.0], [9.0, 9.0]]])
    sets = Sets(None, {}, 2)
    sets.update(GivenSets(), scores, targets)
    found = sets.compute()
    wrong = [2.0, 1.0, 1.0, -3.0, 1.0, 1.0]
    expected = np.mean([math.log1p(math.exp(-score)) for score in wrong])
    assert found == pytest.approx(
        {"loss": expected, "accuracy": 2 / 3, "sequence_accuracy": 1 / 2}, rel=1e-6
    )


def test_accuracy_by_length_has_few_points_and_the_longest_of_training() -> None:
    answers = Answers(None, {length: length for length in range(11, 111)}, 10)
    for length in range(11, 111):
        targets = torch.full((length, 1), IGNORE)
        targets[-1] = 0
        # Right up to 60 steps.
        scores = torch.zeros(length, 1, 2)
        scores[..., 0 if length <= 60 else 1] = 1.0
        answers.update(Given(), scores, targets)
    curve = answers.figures()["accuracy_by_length"]
    assert isinstance(curve, Curve)
    assert len(curve.x) == 25
    assert all(y == (x <= 60) for x, y in zip(curve.x, curve.y, strict=True) if abs(x - 60) > 4)
    assert curve.marks == {"longest in training": 10}
    assert Answers(None, {3: 3}, 3).figures() == {}


def test_sequences_of_different_lengths_are_in_one_batch() -> None:
    config = compose_run(["task=bucket_sort", "task.max_length=9", *SIZES])
    task, data = check_task(config), prepare_data(config)
    inputs, _ = data.splits["train"]  # type: ignore[attr-defined]
    assert isinstance(inputs, Sequences)
    batches = [*task.batches(data, seed=1).training(0, 1)]
    mixed = next(batch for batch in batches if batch.lengths is not None)
    assert mixed.lengths is not None
    assert mixed.inputs.dtype == mixed.targets.dtype == torch.int64
    assert mixed.inputs.shape == mixed.targets.shape
    for column, length in enumerate(mixed.lengths.tolist()):
        targets = mixed.targets[:, column]
        assert (targets[length:] == IGNORE).all()
        assert int((targets != IGNORE).sum()) == length // 2
    assert mixed.size == int((mixed.targets != IGNORE).sum()) == mixed.tokens // 2
    assert sum(batch.tokens for batch in batches) == len(inputs.steps)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["task=copying", "task.delay=0"], "task.delay=0: must be at least 1"),
        (["task=copying", "task.test_delay=0"], "task.test_delay=0: must be at least 1"),
        (["task=copying", "task.items=0"], "task.items=0: must be at least 1"),
        (["task=selective_copying", "task.symbols=1"], "task.symbols=1: must be at least 2"),
        (["task=delayed_echo", "task.min_length=10"], "task.min_length=10: must be at least 11"),
        (["task=delayed_echo", "task.delay=0"], "task.delay=0: must be at least 1"),
        (["task=parity", "task.min_length=0"], "task.min_length=0: must be at least 1"),
        (["task=parity", "task.min_length=41"], "task.max_length=40: lengths go from .*=41 on"),
        (
            ["task=parity", "task.test_min_length=60"],
            "task.test_max_length=40: lengths go from task.test_min_length=60 on; none is left",
        ),
        (
            ["task=modular_arithmetic", "task.min_length=4", "task.max_length=4"],
            "task.max_length=4: lengths are odd",
        ),
        (["task=modular_arithmetic", "task.modulus=1"], "task.modulus=1: must be at least 2"),
        (["task=bucket_sort", "task.vocabulary=1"], "task.vocabulary=1: must be at least 2"),
        (
            ["task=dyck", "task.min_length=3", "task.max_length=3"],
            "task.max_length=3: lengths are even",
        ),
        (["task=dyck", "task.max_depth=0"], "task.max_depth=0: must be at least 1"),
        (["task=mqar", "task.pairs=32"], "task.vocabulary=64 has 31 keys, one for each pair"),
        (["task=mqar", "task.length=20"], "task.length=20: task.pairs=8 .* take 24 steps"),
        (["task=mqar", "task.test_length=9"], "task.test_length=9"),
        (["task=parity", "task.data_seed=-1"], "task.data_seed=-1: must be at least 0"),
        (["task=parity", "task.test_examples=0"], "task.test_examples=0: must be at least 1"),
        (["task=parity", "task.train_examples=5"], "there are task.train_examples=5"),
        (["task=parity", "task.length=5"], "task.length: no such key with task=parity"),
        (["task=parity", "task.max_length=long"], "task.max_length=long: must be int"),
        (["task=mqar", "task.monitor=validation/mse"], "no such metric"),
    ],
)
def test_what_a_task_cannot_do_is_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_task(compose_run(overrides))


QUICK = ("model.hidden_size=24", "trainer.threads=1", "optimizer.lr=0.02", "cell=gru")
# A task for each shape: answers at every step, at some steps, at the end, as sets; and embedded.
SHAPES = {
    "delayed_echo": ["task.delay=1", "task.min_length=5", "task.max_length=12"],
    "bucket_sort": ["task.max_length=6", "task.vocabulary=3"],
    "parity": ["task.max_length=4", "task.test_min_length=3", "task.test_max_length=6"],
    "dyck": ["task.max_length=10", "task.max_depth=2"],
    "copying": ["task.delay=2", "task.items=2", "task.symbols=3", "task.one_hot=false"],
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_cell_gets_below_chance(name: str) -> None:
    steps = ["trainer.max_steps=150", "trainer.validate_every_steps=50"]
    folder = run(compose_run([f"task={name}", *SHAPES[name], *SIZES, *QUICK, *steps])).folder
    assert folder is not None
    record = read_record(folder)
    chance = record.description.baselines["chance"]
    assert record.metrics["validation/loss"] < 0.7 * chance["validation/loss"]
    assert record.metrics["validation/accuracy"] > chance["validation/accuracy"] + 0.1
    curves = [from_plain(figure) for figure in record.figures.values()]
    assert len(curves) == (name != "copying")
    for curve in curves:
        assert isinstance(curve, Curve)
        assert len(curve.x) > 1
        assert all(0 <= y <= 1 for y in curve.y)
