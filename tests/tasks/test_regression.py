"""Regression: scaling, metrics, baselines, pooling, and what a run leaves."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
import torch
from omegaconf import DictConfig
from sklearn import metrics as sk

from unrolled.commands.evaluate import evaluate
from unrolled.commands.reproduce import reproduce
from unrolled.config.compose import compose_run
from unrolled.data.corpus import Corpus
from unrolled.data.labeled import LabeledSequences
from unrolled.data.sequences import Sequences
from unrolled.data.splits import Fold, Split
from unrolled.errors import ConfigError, DataError
from unrolled.models.build import build_model
from unrolled.runs.record import read_record
from unrolled.tasks.build import build_task, check_task, prepare_data, sources
from unrolled.tasks.values import ValueData
from unrolled.training.run import run

SMALL = (
    "task=regression", "dataset.examples=100", "dataset.steps=6", "dataset.features=2",
    "dataset.learnable=true", "task.batch_size=16", "task.evaluation_batch_size=6",
    "model.hidden_size=8", "trainer.max_steps=20", "trainer.validate_every_steps=10",
    "trainer.log_every_steps=5", "trainer.threads=1",
)  # fmt: skip
OWN = ("task=regression", "dataset._target_=own_data.load", "dataset.name=own")


def config(*overrides: str) -> DictConfig:
    return compose_run([*SMALL, *overrides])


def prepared(*overrides: str) -> ValueData:
    data = prepare_data(config(*overrides))
    assert isinstance(data, ValueData)
    return data


def own(monkeypatch: pytest.MonkeyPatch, made: LabeledSequences) -> DictConfig:
    """The configuration of a data set of one's own."""
    import sys
    import types

    module = types.ModuleType("own_data")

    def load() -> LabeledSequences:
        return made

    module.load = load  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "own_data", module)
    Path("own_data.py").write_text("def load(): ...\n")
    monkeypatch.syspath_prepend(str(Path.cwd()))
    small = [one for one in SMALL if not one.startswith(("dataset", "task="))]
    return compose_run(["task=regression", "dataset=custom", *OWN[1:], *small])


def unequal(examples: int = 40) -> LabeledSequences:
    """Sequences of 1 to 5 steps of two features, with two values each: sum and length."""
    generator = np.random.default_rng(0)
    arrays = [
        generator.normal(size=(1 + place % 5, 2)).astype(np.float32) * [1, 50] + [0, 7]
        for place in range(examples)
    ]
    targets = np.array([[array.sum(), 1000 + len(array)] for array in arrays])
    return LabeledSequences(
        "made",
        Sequences.of([array.astype(np.float32) for array in arrays]),
        targets,
        split=Split("random", 0.2, 0.2),
        target_names=["sum", "length"],
    )


def test_features_and_targets_are_scaled_by_the_training_split(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = unequal()
    data = prepare_data(own(monkeypatch, made))
    assert isinstance(data, ValueData)
    assert isinstance(made.inputs, Sequences)
    places = made.places()
    steps = made.inputs.take(places["train"]).steps.astype(np.float64)
    targets = np.asarray(made.targets)
    scaler = data.fitted
    assert (scaler.inputs, scaler.targets) == (["feature 1", "feature 2"], ["sum", "length"])
    np.testing.assert_allclose(scaler.input_mean, steps.mean(0))
    np.testing.assert_allclose(scaler.input_scale, steps.std(0))
    np.testing.assert_allclose(scaler.target_mean, targets[places["train"]].mean(0))
    np.testing.assert_allclose(scaler.target_scale, targets[places["train"]].std(0))
    for split, chosen in places.items():
        inputs, found = data.splits[split]
        assert isinstance(inputs, Sequences)
        for row, place in enumerate(chosen):
            expected = (made.inputs[place] - steps.mean(0)) / steps.std(0)
            np.testing.assert_allclose(inputs[row], expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(np.asarray(found)[:, 0], targets[chosen])


def test_values_outside_training_change_neither_scaler_nor_training_data(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = unequal()
    options = own(monkeypatch, made)
    before = prepare_data(options)
    targets = np.asarray(made.targets).copy()
    later = np.concatenate([made.places()["validation"], made.places()["test"]])
    targets[later] *= -100
    task = build_task(options.task)
    own(monkeypatch, replace(made, targets=targets))
    after = task.prepare(sources(options, None, ("",)))
    assert isinstance(before, ValueData)
    assert isinstance(after, ValueData)
    assert before.fitted == after.fitted
    np.testing.assert_array_equal(
        np.asarray(before.splits["train"][1]), np.asarray(after.splits["train"][1])
    )
    assert before.fingerprint != after.fingerprint


def test_a_fold_is_tested_and_its_scaler_is_of_the_rest() -> None:
    options = config("dataset.examples=60")
    task, where = build_task(options.task), sources(options, None, ())
    seen: list[float] = []
    means = set()
    for number in range(3):
        data = task.prepare(replace(where, fold=Fold(number, 3)))
        assert isinstance(data, ValueData)
        seen += data.truth("test").ravel().tolist()
        means.add(tuple(data.fitted.target_mean))
        np.testing.assert_allclose(data.fitted.target_mean, data.truth("train").mean((0, 1)))
    assert len(seen) == len(set(seen)) == 60
    assert len(means) == 3


def predictions(task: Any, data: ValueData, options: DictConfig) -> npt.NDArray[np.float64]:
    """Of the test split in their own units, one example at a time."""
    torch.manual_seed(0)
    model = build_model(options, task.parts(data.fitted, options.model)).eval()
    evaluator = task.evaluator(data, "test")
    for batch in task.batches(data, seed=1).evaluation_dataloader("test"):
        with torch.no_grad():
            hidden, _ = model(batch.inputs, None, batch.lengths, batch.padded)
            evaluator.update(model.head, hidden, batch.targets)
    inputs = data.splits["test"][0]
    assert isinstance(inputs, Sequences)
    rows = []
    for place in range(len(inputs)):
        with torch.no_grad():
            hidden, _ = model(torch.from_numpy(inputs[place])[:, None])
            rows.append(model.head.scores(hidden)[0].double().numpy())
    scale, mean = (np.asarray(x) for x in (data.fitted.target_scale, data.fitted.target_mean))
    found: npt.NDArray[np.float64] = np.stack(rows) * scale + mean
    np.testing.assert_allclose(evaluator.predicted[:, 0], found, rtol=1e-4)
    truth = evaluator.truth[:, 0]
    exact = evaluator.predicted[:, 0]
    wanted = {
        "mse": sk.mean_squared_error(truth.ravel(), exact.ravel()),
        "mae": sk.mean_absolute_error(truth.ravel(), exact.ravel()),
        "rmse": sk.root_mean_squared_error(truth.ravel(), exact.ravel()),
        "mape": sk.mean_absolute_percentage_error(truth.ravel(), exact.ravel()),
        "r2": sk.r2_score(truth, exact),
    }
    computed = evaluator.compute()
    assert computed.keys() == {"loss", *wanted}
    assert {name: computed[name] for name in wanted} == pytest.approx(wanted, rel=1e-9)
    return found


def test_every_metric_is_scikit_learn_s_whatever_the_pooling(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = unequal()
    options = own(monkeypatch, made)
    data = prepare_data(options)
    assert isinstance(data, ValueData)
    found = {}
    for pooling in ("last", "mean", "max", "attention"):
        for both in (False, True):
            options.task.pooling, options.task.bidirectional = pooling, both
            found[pooling, both] = predictions(build_task(options.task), data, options)
    rows = [tuple(values.ravel()) for values in found.values()]
    assert len(set(rows)) == len(rows)


def test_the_mean_of_training_is_the_baseline() -> None:
    data = prepared()
    baselines = build_task(config().task).baselines(data)
    assert list(baselines) == ["mean"]
    for split in ("validation", "test"):
        truth = data.truth(split)[:, 0]
        mean = np.full_like(truth, data.truth("train").mean())
        figures = baselines["mean"]
        assert figures[f"{split}/rmse"] == pytest.approx(sk.root_mean_squared_error(truth, mean))
        assert figures[f"{split}/mae"] == pytest.approx(sk.mean_absolute_error(truth, mean))
        assert figures[f"{split}/r2"] == pytest.approx(sk.r2_score(truth, mean))
        assert f"{split}/mase" not in figures


def test_a_run_leaves_predictions_and_can_be_evaluated_and_repeated() -> None:
    folder = run(config()).folder
    assert folder is not None
    record = read_record(folder)
    assert record.description.primary == "rmse"
    table = pl.read_csv(folder / "predictions.csv")
    assert table.columns == ["example", "target", "truth", "predicted"]
    np.testing.assert_array_equal(table["truth"], prepared().truth("test").ravel())
    assert sk.r2_score(table["truth"], table["predicted"]) == pytest.approx(
        record.metrics["test/r2"]
    )
    assert evaluate(folder).identical
    assert reproduce(folder).verdict == "identical"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"targets": ["x", "y"] * 20},
            r"dataset=own: its targets are classes, and task=regression",
        ),
        ({"inputs": ["text"] * 40}, r"dataset=own: its inputs are texts, and task=regression"),
        ({"targets": np.ones((40, 2))}, r"the target sum is 1 in all of the training split"),
    ],
)
def test_examples_of_another_kind_are_refused(
    change: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = own(monkeypatch, replace(unequal(), **change))
    with pytest.raises(DataError, match=said):
        build_task(options.task).prepare(sources(options, None, ("",)))


def test_what_a_loader_without_annotation_gives_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: Any = Corpus("made", "a", "b", "c")
    options = own(monkeypatch, made)
    with pytest.raises(
        DataError, match="dataset=own: its loader gave a Corpus, and task=regression takes Labeled"
    ):
        build_task(options.task).prepare(sources(options, None, ("",)))


def test_numbers_that_are_not_finite_are_refused_with_their_example(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = unequal()
    assert isinstance(made.inputs, Sequences)
    steps = made.inputs.steps.copy()
    steps[made.inputs.offsets[7] + 1, 1] = np.nan
    options = own(monkeypatch, replace(made, inputs=Sequences(steps, made.inputs.offsets)))
    task = build_task(options.task)
    with pytest.raises(DataError, match=r"feature 2 of example 8 is nan; a model learns from"):
        task.prepare(sources(options, None, ("",)))
    targets = np.asarray(made.targets).copy()
    targets[3, 0] = np.inf
    own(monkeypatch, replace(made, targets=targets))
    with pytest.raises(DataError, match=r"sum of example 4 is inf; a model learns from"):
        task.prepare(sources(options, None, ("",)))


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["task.pooling=sum"], r"task.pooling=sum: must be last or mean or max or attention"),
        (["dataset=sunspots"], r"takes labelled sequences; the data sets that fit: .*random_seq"),
        (["tokenizer=char"], r"task=regression reads no text; take tokenizer=none"),
    ],
)
def test_what_the_task_cannot_do_is_refused(overrides: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        check_task(compose_run(["task=regression", *overrides]))


@pytest.mark.slow
def test_what_can_be_learned_is_and_what_is_random_is_not() -> None:
    sizes = [
        "dataset.examples=600", "dataset.features=1", "task.batch_size=32", "optimizer.lr=0.01",
        "trainer.max_steps=200", "trainer.validate_every_steps=50", "cell=gru",
    ]  # fmt: skip
    learned = run(config(*sizes)).folder
    chance = run(config(*sizes, "dataset.learnable=false", "study=random")).folder
    assert learned is not None
    assert chance is not None
    assert read_record(learned).metrics["test/r2"] > 0.8
    assert read_record(chance).metrics["test/r2"] < 0.1
