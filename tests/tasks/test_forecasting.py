"""Forecasting: windows, scaling, metrics and baselines, and what a run leaves."""

import json
import math
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
from unrolled.data.splits import Fold
from unrolled.errors import ConfigError, DataError, RunError
from unrolled.models.build import build_model
from unrolled.runs.figures import Forecast, from_plain
from unrolled.runs.record import read_record
from unrolled.tasks import build
from unrolled.tasks.build import build_task, check_task, prepare_data, sources
from unrolled.tasks.forecasting import Forecasting, SeriesData, forecasts
from unrolled.training.load import load_run
from unrolled.training.run import run

Floats = npt.NDArray[np.float64]

SMALL = (
    "task=forecasting", "dataset=series", "dataset.path=data.csv", "dataset.time=t",
    "dataset.season=4", "task.window=5", "task.horizon=3", "task.batch_size=8",
    "task.evaluation_batch_size=4", "model.hidden_size=8", "trainer.max_steps=20",
    "trainer.validate_every_steps=10", "trainer.log_every_steps=5", "trainer.threads=1",
)  # fmt: skip


@pytest.fixture
def values() -> Floats:
    """Three variables over 60 steps, in a file."""
    generator = np.random.default_rng(0)
    steps = np.arange(60)
    made = np.stack(
        [
            50 + steps + 5 * np.sin(steps * math.pi / 2) + generator.normal(size=60),
            generator.normal(size=60) * 100,
            20 + 3 * np.cos(steps * math.pi / 2) + generator.normal(size=60),
        ],
        1,
    )
    write(made)
    return made


def write(values: Floats) -> None:
    names = ["a", "b", "c"][: values.shape[1]]
    frame = pl.DataFrame(
        {"t": np.arange(len(values)) + 1900, **dict(zip(names, values.T, strict=True))}
    )
    frame.write_csv("data.csv")
    prepare_data_again()


def prepare_data_again() -> None:
    """The file has changed, and what was prepared of it is kept by its configuration."""

    build._prepare.cache_clear()


def config(*overrides: str) -> DictConfig:
    return compose_run([*SMALL, *overrides])


def prepared(*overrides: str) -> SeriesData:
    data = prepare_data(config(*overrides))
    assert isinstance(data, SeriesData)
    return data


def pair(data: SeriesData, split: str) -> tuple[Any, Any]:
    inputs, targets = data.splits[split]
    return np.asarray(inputs), np.asarray(targets)


# Of 60 steps the latest 12 are the test's, and the 6 before them validation's.
BOUNDS = {"train": (0, 42), "validation": (42, 48), "test": (48, 60)}
TARGETS = "dataset.targets=[c,a]"


@pytest.mark.parametrize("target", ["value", "change", "growth"])
def test_windows_are_those_of_a_slow_loop(values: Floats, target: str) -> None:
    data = prepared(TARGETS, f"task.target={target}")
    scaler = data.fitted
    assert scaler.targets == ["c", "a"]
    for split, (begin, end) in BOUNDS.items():
        inputs, targets = pair(data, split)
        row = 0
        for start in range(begin, end):
            # The whole target is in the split, and there is a whole history.
            if start + 3 > end or start < 5:
                continue
            last = values[start - 1]
            for back in range(5):
                for place, name in enumerate("abc"):
                    value = values[start - 5 + back, place]
                    mean = values[:42, place].mean()
                    expected = value - mean
                    if name in "ac" and target != "value":
                        level = last[place]
                        expected = value - level if target == "change" else math.log(value / level)
                    expected /= scaler.input_scale[place]
                    assert inputs[row, back, place] == pytest.approx(expected, abs=1e-5)
            for ahead in range(3):
                for place, column in enumerate((2, 0)):
                    found = targets[row, :, 2 * ahead + place]
                    assert found[0] == values[start + ahead, column]
                    level = values[:42, column].mean() if target == "value" else last[column]
                    assert found[1] == pytest.approx(level, rel=1e-12)
            row += 1
        assert row == len(inputs) == len(targets)
        assert inputs.dtype == np.float32


def test_the_scaler_is_of_the_training_split(values: Floats) -> None:
    scaler = prepared().fitted
    np.testing.assert_allclose(scaler.input_mean, values[:42].mean(0))
    np.testing.assert_allclose(scaler.input_scale, values[:42].std(0))
    np.testing.assert_allclose(scaler.target_scale, values[:42].std(0))
    np.testing.assert_allclose(scaler.naive_errors, np.abs(values[4:42] - values[:38]).mean(0))
    changes = [values[s + ahead] - values[s - 1] for s in range(5, 40) for ahead in range(3)]
    np.testing.assert_allclose(
        prepared("task.target=change").fitted.target_scale, np.std(changes, axis=0)
    )
    unscaled = prepared("task.scaling=none").fitted
    assert [*unscaled.input_mean, *unscaled.target_scale] == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("target", ["value", "change"])
def test_later_values_change_nothing_of_training(values: Floats, target: str) -> None:
    before = prepared(f"task.target={target}")
    later = values.copy()
    later[42:] = later[42:] * -7 + 1000
    write(later)
    after = prepared(f"task.target={target}")
    assert before.fitted == after.fitted
    for one, other in zip(pair(before, "train"), pair(after, "train"), strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(pair(before, "test")[1], pair(after, "test")[1])
    assert before.fingerprint != after.fingerprint


def test_folds_go_forward_in_time(values: Floats) -> None:
    options = config("dataset.validation_fraction=0.2")
    task, where = build_task(options.task), sources(options, None, ())
    for number in range(3):
        data = task.prepare(replace(where, fold=Fold(number, 3)))
        assert isinstance(data, SeriesData)
        first = data.starts["test"][0]
        assert first == 15 * (number + 1)
        assert data.starts["train"].max() < data.starts["validation"].min() < first
        trained = data.starts["validation"][0]
        np.testing.assert_allclose(data.fitted.input_mean, values[:trained].mean(0))


def expected_metrics(truth: Floats, predicted: Floats, naive: list[float]) -> dict[str, float]:
    """Scikit-learn's figures of ``[windows, steps, targets]``."""
    flat, found = truth.ravel(), predicted.ravel()
    rows = (truth.reshape(-1, truth.shape[-1]), predicted.reshape(-1, truth.shape[-1]))
    mase = [
        sk.mean_absolute_error(truth[..., i].ravel(), predicted[..., i].ravel()) / naive[i]
        for i in range(truth.shape[-1])
    ]
    return {
        "mse": sk.mean_squared_error(flat, found),
        "mae": sk.mean_absolute_error(flat, found),
        "rmse": sk.root_mean_squared_error(flat, found),
        "mape": sk.mean_absolute_percentage_error(flat, found),
        "r2": sk.r2_score(*rows),
        "mase": float(np.mean(mase)),
    }


@pytest.mark.parametrize("target", ["value", "change", "growth"])
def test_every_metric_is_scikit_learn_s_in_the_data_s_own_units(
    values: Floats, target: str
) -> None:
    options = config(TARGETS, f"task.target={target}")
    task = build_task(options.task)
    data = prepare_data(options)
    assert isinstance(data, SeriesData)
    torch.manual_seed(0)
    model = build_model(options, task.parts(data.fitted, options.model)).eval()
    inputs, targets = pair(data, "test")
    with torch.no_grad():
        scores = model.head.scores(model(torch.from_numpy(inputs).transpose(0, 1))[0]).double()
    predicted = scores.numpy().reshape(-1, 3, 2) * np.asarray(data.fitted.target_scale)
    starts = data.starts["test"]
    last = np.stack([values[starts - 1][:, [2, 0]]], 1)
    if target == "value":
        predicted = predicted + values[:42, [2, 0]].mean(0)
    else:
        predicted = last + predicted if target == "change" else last * np.exp(predicted)
    truth = np.stack([values[s : s + 3][:, [2, 0]] for s in starts])
    naive = [np.abs(values[4:42, i] - values[:38, i]).mean() for i in (2, 0)]
    evaluator = task.evaluator(data, "test")
    for batch in task.batches(data, seed=1).evaluation_dataloader("test"):
        with torch.no_grad():
            evaluator.update(model.head, model(batch.inputs)[0], batch.targets)
    found = evaluator.compute()
    wanted = expected_metrics(truth, predicted, naive)
    assert {name: found[name] for name in wanted} == pytest.approx(wanted, rel=1e-9)
    exact = targets[:, 0] - targets[:, 1]
    if target == "growth":
        exact = np.log(targets[:, 0] / targets[:, 1])
    scaled = exact / np.tile(data.fitted.target_scale, 3)
    loss = sk.mean_squared_error(scaled.ravel(), scores.numpy().ravel())
    assert found["loss"] == pytest.approx(loss, rel=1e-5)


def test_true_values_of_zero_are_left_out_of_percentages_and_said() -> None:
    made = np.arange(60.0)[:, None] % 7 + np.linspace(0, 1e-3, 60)[:, None]
    made[50:53] = 0
    write(made)
    data = prepared("task.horizon=1")
    naive = data.describe(), build_task(config("task.horizon=1").task).baselines(data)["naive"]
    truth, before = made[48:], made[47:59]
    there = truth != 0
    assert naive[1]["test/mape"] == pytest.approx(
        sk.mean_absolute_percentage_error(truth[there], before[there])
    )
    cautions = build_task(config("task.horizon=1").task).cautions(data)
    assert list(cautions) == ["test/mape"]
    assert "3 of the 12 test values are 0" in cautions["test/mape"]


def test_baselines_by_hand() -> None:
    # Season 2; the training split is the first 7 steps, validation one window, the test one.
    write(np.array([1, 5, 2, 7, 3, 9, 4, 10, 5, 13.0])[:, None])
    options = (
        "dataset.season=2", "task.window=1", "task.horizon=1", "dataset.validation_fraction=0.1",
        "dataset.test_fraction=0.2", "task.batch_size=2",
    )  # fmt: skip
    data = prepared(*options)
    found = build_task(config(*options).task).baselines(data)
    # Over training: 1→2, 5→7, 2→3, 7→9, 3→4.
    scale = (1 + 2 + 1 + 2 + 1) / 5
    assert data.fitted.naive_errors[0] == pytest.approx(scale)
    assert found["naive"]["validation/mae"] == 6
    assert found["naive"]["test/mae"] == (5 + 8) / 2
    assert found["naive"]["test/mase"] == pytest.approx(6.5 / scale)
    assert found["seasonal naive"]["validation/mae"] == 1
    assert found["seasonal naive"]["test/mae"] == (1 + 3) / 2
    mean = 31 / 7
    assert found["mean"]["test/mae"] == pytest.approx((5 - mean + 13 - mean) / 2)
    assert found["mean"]["test/rmse"] == pytest.approx(
        math.sqrt(((5 - mean) ** 2 + (13 - mean) ** 2) / 2)
    )
    longer = prepared(*options, "task.horizon=3", "dataset.validation_fraction=0.3",
        "dataset.test_fraction=0.3")  # fmt: skip
    seasonal = build_task(config(*options, "task.horizon=3").task).baselines(longer)
    # The third step ahead repeats the first: of 3, 9 the season says 3, 9, 3 where 10 ... came.
    assert seasonal["seasonal naive"]["test/mae"] == pytest.approx((abs(10 - 9) + 1 + 4) / 3)
    assert "seasonal naive" not in build_task(config(*options).task).baselines(
        prepared(*options, "dataset.season=1")
    )


def test_a_run_leaves_predictions_a_figure_and_a_scaler(values: Floats) -> None:
    folder = run(config(TARGETS, "dataset.unit=m")).folder
    assert folder is not None
    record = read_record(folder)
    assert record.task["name"] == "forecasting"
    assert record.description.metric("test/mae").unit == "m"
    assert record.description.metric("test/mse").unit == "m²"
    assert set(record.description.baselines) == {"naive", "seasonal naive", "mean"}
    assert record.data["sizes"]["test"] == {
        "examples": 10, "length": 5, "steps": 12, "first": "1948", "last": "1959",
    }  # fmt: skip
    table = pl.read_csv(folder / "predictions.csv")
    assert table.columns == ["known_until", "time", "target", "truth", "predicted"]
    assert len(table) == 10 * 3 * 2
    assert table.row(0)[:4] == (1947, 1948, "c", values[48, 2])
    assert table.row(9)[:4] == (1948, 1950, "a", values[50, 0])
    truth, predicted = (
        table[name].to_numpy().reshape(10, 3, 2) for name in ("truth", "predicted")
    )
    wanted = expected_metrics(truth, predicted, [*load_run(folder).fitted.naive_errors])
    found = {name: record.metrics[f"test/{name}"] for name in wanted}
    assert found == pytest.approx(wanted, rel=1e-9)
    figure = from_plain(record.figures["test/forecast of a"])
    assert isinstance(figure, Forecast)
    np.testing.assert_array_equal(figure.truth, values[48:, 0])
    np.testing.assert_array_equal(figure.history, values[36:48, 0])
    # Windows laid end to end: of the first, the fourth and so on.
    ends = [predicted[place, :, 1] for place in (0, 3, 6, 9)]
    np.testing.assert_allclose(figure.predicted, np.concatenate(ends))
    assert (figure.first, figure.step) == (1936, 1)
    assert evaluate(folder).identical
    assert reproduce(folder).verdict == "identical"


def test_a_figure_ends_with_the_end_of_the_last_window(values: Floats) -> None:
    data = prepared("task.horizon=5", "dataset.targets=[a]")
    truth = data.truth("test")
    # Each prediction says which window it is of, and how far ahead it is.
    predicted = np.arange(len(truth))[:, None, None] + np.arange(5)[:, None] / 10
    figure = forecasts(data, "test", truth, predicted)["forecast of a"]
    assert isinstance(figure, Forecast)
    # Of 12 steps two whole windows, and two steps of the last one.
    whole = [0, 0.1, 0.2, 0.3, 0.4, 5, 5.1, 5.2, 5.3, 5.4]
    assert figure.predicted == pytest.approx([*whole, 7.3, 7.4])
    np.testing.assert_array_equal(figure.truth, values[48:, 0])


def test_a_finished_run_is_evaluated_on_other_data_by_its_own_scaler(values: Floats) -> None:
    folder = run(config()).folder
    assert folder is not None
    write(values * 2)
    evaluation = evaluate(folder)
    assert not evaluation.same_data
    np.testing.assert_allclose(load_run(folder).fitted.input_mean, values[:42].mean(0))
    assert evaluation.metrics["test/mae"] > read_record(folder).metrics["test/mae"]
    pl.read_csv("data.csv").rename({"a": "z"}).write_csv("data.csv")
    with pytest.raises(DataError, match="the model reads a, b, c, and the data has z, b, c"):
        evaluate(folder)
    (folder / "scaler.json").write_text("{}")
    with pytest.raises(RunError, match=r"scaler.json: damaged"):
        load_run(folder).fitted  # noqa: B018
    (folder / "scaler.json").unlink()
    with pytest.raises(RunError, match=r"no scaler.json in it"):
        load_run(folder).fitted  # noqa: B018


@pytest.mark.parametrize("target", ["value", "change"])
def test_a_finished_run_forecasts_what_follows_new_data(values: Floats, target: str) -> None:
    folder = run(config("dataset.targets=[c,a]", f"task.target={target}")).folder
    assert folder is not None
    stored = load_run(folder)
    assert isinstance(stored.task, Forecasting)
    # The last window of the test split, whose forecast the run has left.
    known = values[40:57]
    found = stored.task.forecast(stored.fitted, stored.best_model(), known)
    table = pl.read_csv(folder / "predictions.csv")
    assert table["known_until"][-1] == 1956
    np.testing.assert_allclose(found.ravel(), table["predicted"][-6:], rtol=1e-6)
    with pytest.raises(DataError, match="4 steps are too few for a forecast: the model reads 5"):
        stored.task.forecast(stored.fitted, stored.best_model(), known[:4])


def test_a_debugging_run_on_some_batches_ends(values: Floats) -> None:
    folder = run(config("trainer.limit_batches=1")).folder
    assert folder is not None
    assert read_record(folder).figures == {}
    assert len(pl.read_csv(folder / "predictions.csv")) == 4 * 3 * 3
    overfitted = run(config("trainer.overfit_batches=1", "study=other")).folder
    assert overfitted is not None
    assert "validation/mase" in read_record(overfitted).metrics


def test_a_constant_variable_is_kept_as_zero_and_said(values: Floats) -> None:
    values[:42, 1] = 0.1
    write(values)
    data = prepared("dataset.targets=[a]")
    assert data.fitted.constant == ["b"]
    assert not pair(data, "train")[0][..., 1].any()
    assert data.describe()["treated"] == {
        "constant in the training split, and so read as 0 (b)": 1
    }


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["task.horizon=7"], r"the validation split has 6 steps, and a window needs 7; lower"),
        (["task.window=42"], r"the train split has 42 steps, and a window needs 45; lower"),
        (
            ["dataset.season=42"],
            r"dataset.season=42: the training split has 42 steps, which is",
        ),
        (["task.target=growth"], r"the target b is -.* and task.target=growth needs values"),
    ],
)
def test_what_a_series_is_too_short_for(values: Floats, overrides: list[str], said: str) -> None:
    with pytest.raises(DataError, match=said):
        prepared(*overrides)


def test_a_target_that_never_changes_is_refused(values: Floats) -> None:
    values[:42, 1] = 0.1
    write(values)
    with pytest.raises(DataError, match=r"the target b is 0.1 in all of the training split"):
        prepared()


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["task.horizon=0"], r"task.horizon=0: must be at least 1"),
        (["task.target=both"], r"task.target=both: must be value or change or growth"),
        (["dataset=sotu"], r"takes a series; the data sets that fit: co2, series, sunspots"),
        (["tokenizer=char"], r"task=forecasting reads no text; take tokenizer=none"),
    ],
)
def test_what_the_task_cannot_do_is_refused(overrides: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        check_task(compose_run(["task=forecasting", *overrides]))


def test_the_scaler_file_is_what_was_fitted(values: Floats) -> None:
    data = prepared()
    data.write(Path())
    task = build_task(config().task)
    assert isinstance(task, Forecasting)
    assert task.restore(Path()) == data.fitted
    assert json.loads(Path("scaler.json").read_text())["inputs"] == ["a", "b", "c"]


@pytest.mark.slow
def test_a_sine_is_forecast_better_than_by_naive_forecasts() -> None:
    steps = np.arange(300)
    # A period that is no whole number of steps, which no season fits.
    write((10 + np.sin(steps / 3.3))[:, None])
    folder = run(
        config("task.window=20", "task.batch_size=32", "optimizer.lr=0.01", "dataset.season=20",
            "model.hidden_size=16", "trainer.max_steps=200", "trainer.validate_every_steps=100")
    ).folder  # fmt: skip
    assert folder is not None
    record = read_record(folder)
    rivals = record.description.baselines.values()
    assert record.metrics["test/mase"] < min(rival["test/mase"] for rival in rivals) / 2
