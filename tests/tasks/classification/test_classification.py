"""Classifying texts and sequences of numbers: data, model, metrics, and what is refused."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import DictConfig
from sklearn import metrics as reference

from unrolled.config.compose import compose_run
from unrolled.data.labeled import LabeledSequences
from unrolled.data.sequences import Sequences
from unrolled.data.splits import Split
from unrolled.errors import ConfigError, DataError
from unrolled.models.build import build_model
from unrolled.runs.figures import Matrix
from unrolled.runs.record import read_record
from unrolled.tasks import build
from unrolled.tasks.build import build_task, check_task, prepare_data
from unrolled.tasks.classification import Classification
from unrolled.tasks.classification.data import ClassifiedData
from unrolled.tasks.classification.metrics import ClassificationMetrics
from unrolled.training.run import run

WORDS = {"good": ("fine", "bright", "warm"), "bad": ("dull", "cold", "grim")}
Load = Callable[..., DictConfig]


@pytest.fixture
def loading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """The configuration of a classifier of some examples."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "my_data.py").write_text("examples = None\ndef load(): return examples\n")

    def configure(examples: LabeledSequences, *overrides: str) -> DictConfig:
        import my_data  # type: ignore[import-not-found]

        my_data.examples = examples
        chosen = next((o for o in overrides if o.startswith("tokenizer=")), None)
        words = ["tokenizer=word_lower", "tokenizer.minimum_count=1"]
        tokenizer = [] if chosen else words if examples.has_texts else ["tokenizer=none"]
        # Data sets are remembered by their configuration, which is the same for all of these.
        build._prepare.cache_clear()
        return compose_run(
            [
                *("task=classification", "dataset._target_=my_data.load"),
                *tokenizer,
                *("model.embedding_size=8", "model.hidden_size=12", "task.batch_size=8"),
                *("trainer.max_steps=60", "trainer.validate_every_steps=30"),
                *overrides,
            ]
        )

    return configure


def texts(count: int = 120, labels: tuple[str, ...] = ("good", "bad"), **given: Any) -> Any:
    """Texts of unequal length, whose class one of their words tells."""
    generator = np.random.default_rng(1)
    chosen = [labels[int(place)] for place in generator.integers(0, len(labels), count)]
    inputs = []
    for label in chosen:
        filler = ["the", "day"] * int(generator.integers(1, 6))
        telling = WORDS.get(label, (label,))
        filler.insert(int(generator.integers(0, len(filler))), str(generator.choice(telling)))
        inputs.append(" ".join(filler))
    return LabeledSequences("texts", inputs, chosen, **given)


def numbers(count: int = 120, features: int = 3) -> LabeledSequences:
    """Sequences whose class is the sign of their mean."""
    generator = np.random.default_rng(2)
    signs = generator.choice([-1, 1], count)
    arrays = [
        (generator.normal(size=(int(generator.integers(2, 9)), features)) + sign).astype(
            np.float32
        )
        for sign in signs
    ]
    return LabeledSequences("numbers", Sequences.of(arrays), [str(sign) for sign in signs])


def unseen() -> LabeledSequences:
    """A class that only the test split has."""
    given = {"train": np.arange(80), "validation": np.arange(80, 100)}
    some = texts()
    labels = [*some.targets[:100], *["zebra"] * 20]
    return LabeledSequences("texts", some.inputs, labels, {**given, "test": np.arange(100, 120)})


def data_of(config: DictConfig) -> ClassifiedData:
    check_task(config)
    data = prepare_data(config)
    assert isinstance(data, ClassifiedData)
    return data


def trained(config: DictConfig) -> Path:
    outcome = run(config)
    assert outcome.status == "finished"
    assert outcome.folder is not None
    return outcome.folder


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["task.output=softmax", "task.padding=left", "task.pooling=mean"],
        ["task.bidirectional=true", "task.pooling=attention", "task.class_weights=balanced"],
        ["task.max_length=12", "task.keep=last", "task.read_padding=true", "task.padding=left"],
    ],
)
def test_a_text_s_class_is_learned(options: list[str], loading: Load) -> None:
    folder = trained(loading(texts(), "optimizer.lr=0.02", *options))
    record = read_record(folder)
    assert record.metrics["test/accuracy"] > 0.9
    assert record.task["baselines"]["majority"]["test/accuracy"] < 0.7
    assert record.data["classes"] == ["bad", "good"]


def test_numbers_of_unequal_length_are_classified(loading: Load) -> None:
    config = loading(numbers(), "optimizer.lr=0.02", "task.scaling=standard")
    data = data_of(config)
    steps = data.splits["train"][0].steps
    np.testing.assert_allclose(steps.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(steps.std(0), 1, atol=1e-6)
    record = read_record(trained(config))
    assert record.metrics["test/accuracy"] > 0.9


def test_fitted_is_the_training_split_s_alone(loading: Load) -> None:
    examples = texts(split=Split("stratified", 0.2, 0.2))
    first = data_of(loading(examples))
    changed = list(examples.inputs)
    for split in ("validation", "test"):
        for place in first.places[split]:
            changed[place] = "zebra"
    other = LabeledSequences("texts", changed, examples.targets, split=examples.split)
    second = data_of(loading(other))
    assert first.fitted.tokenizer is not None and second.fitted.tokenizer is not None
    assert first.fitted.tokenizer.to_json() == second.fitted.tokenizer.to_json()
    assert second.sizes["test"]["unknown_rate"] == 1
    assert first.fingerprint != second.fingerprint


def test_truncation_keeps_the_part_asked_for_and_is_counted(loading: Load) -> None:
    whole = data_of(loading(texts()))
    for keep in ("first", "last"):
        data = data_of(loading(texts(), "task.max_length=4", f"task.keep={keep}"))
        longer = 0
        for split, (inputs, _) in whole.splits.items():
            for place in range(len(inputs)):
                own, cut = inputs[place], data.splits[split][0][place]
                assert cut.tolist() == (own[:4] if keep == "first" else own[-4:]).tolist()
                longer += len(own) > 4
        assert data.describe()["treated"] == {"sequences truncated to 4 steps": longer}


def test_a_text_without_a_token_is_an_unknown_one_and_counted(loading: Load) -> None:
    examples = texts()
    inputs = ["  " if place % 10 == 0 else text for place, text in enumerate(examples.inputs)]
    data = data_of(loading(LabeledSequences("texts", inputs, examples.targets)))
    assert data.describe()["treated"] == {"texts without a token": 12}
    assert min(inputs.lengths.min() for inputs, _ in data.splits.values()) == 1


def test_read_padding_makes_all_sequences_as_long(loading: Load) -> None:
    data = data_of(loading(texts(), "task.max_length=7", "task.read_padding=true"))
    tokenizer = data.fitted.tokenizer
    assert tokenizer is not None
    for inputs, _ in data.splits.values():
        assert set(inputs.lengths.tolist()) == {7}
        assert int(inputs.steps.max()) == tokenizer.vocabulary_size


@pytest.mark.parametrize("labels", [("a", "b"), ("a", "b", "c"), ("2", "10", "9", "1")])
def test_every_figure_is_scikit_learn_s(labels: tuple[str, ...]) -> None:
    generator = np.random.default_rng(len(labels))
    targets = generator.integers(0, len(labels), 300)
    logits = generator.normal(size=(300, len(labels))) + 1.2 * np.eye(len(labels))[targets]
    scores = torch.from_numpy(logits).float().log_softmax(-1)
    metrics = ClassificationMetrics(labels)
    for part, wanted in zip(scores.split(64), torch.from_numpy(targets).split(64), strict=True):
        metrics.add(part, wanted)
    shares = scores.exp().double().numpy()
    shares /= shares.sum(1, keepdims=True)
    predicted = shares.argmax(1)
    expected = {
        "loss": reference.log_loss(targets, shares),
        "accuracy": reference.accuracy_score(targets, predicted),
        "auroc": np.mean(
            [reference.roc_auc_score(targets == c, shares[:, c]) for c in range(len(labels))]
        ),
        "average_precision": np.mean(
            [
                reference.average_precision_score(targets == c, shares[:, c])
                for c in range(len(labels))
            ]
        ),
    }
    for name, score in {
        "precision": reference.precision_score,
        "recall": reference.recall_score,
        "f1": reference.f1_score,
    }.items():
        for average in ("macro", "micro", "weighted"):
            expected[f"{name}_{average}"] = score(targets, predicted, average=average)
    bins = np.minimum((shares.max(1) * 15).astype(int), 14)
    expected["calibration_error"] = sum(
        abs((predicted == targets)[bins == b].mean() - shares.max(1)[bins == b].mean())
        * (bins == b).mean()
        for b in np.unique(bins)
    )
    found = metrics.compute()
    assert found.keys() == Classification.metrics.keys()
    assert found == pytest.approx(expected, rel=2e-6)
    matrix = metrics.figures()["confusion_matrix"]
    assert isinstance(matrix, Matrix)
    assert np.array_equal(matrix.values, reference.confusion_matrix(targets, predicted))


def test_the_majority_is_what_its_class_would_score(loading: Load) -> None:
    config = loading(texts(labels=("good", "bad", "bad")))
    data = data_of(config)
    majority = build_task(config.task).baselines(data)["majority"]
    targets = data.splits["test"][1]
    most = int(data.counts("train").argmax())
    assert majority["test/accuracy"] == pytest.approx(float((targets == most).mean()))
    assert majority["test/auroc"] == 0.5
    shares = data.counts("train") / data.counts("train").sum()
    assert majority["test/loss"] == pytest.approx(float(-np.log(shares[targets]).mean()))


def test_class_weights_weigh_the_loss_of_training(loading: Load) -> None:
    examples = texts(labels=("good", "bad", "bad", "bad"))
    weights = {"good": 3.0, "bad": 0.5}
    losses = []
    for options in ([], ["task.class_weights={good: 3, bad: 0.5}"]):
        config = loading(examples, *options)
        data, task = data_of(config), build_task(config.task)
        torch.manual_seed(1)
        model = build_model(config, task.parts(data.fitted, config.model))
        losses.append(
            [
                float(model.head.loss(torch.ones(1, 12), torch.tensor([target])).detach())
                for target in range(2)
            ]
        )
    classes = data.fitted.classes
    for target, name in enumerate(classes):
        assert losses[1][target] == pytest.approx(weights[name] * losses[0][target])


def test_predictions_are_written_in_the_order_of_the_data(loading: Load) -> None:
    config = loading(texts(), "optimizer.lr=0.02")
    folder, data = trained(config), data_of(config)
    with (folder / "predictions.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    places = data.places["test"]
    assert [int(row["example"]) for row in rows] == sorted(places.tolist())
    names = dict(zip(places.tolist(), data.splits["test"][1].tolist(), strict=True))
    right = 0
    for row in rows:
        assert row["class"] == data.fitted.classes[names[int(row["example"])]]
        shares = {name: float(row[f"p({name})"]) for name in data.fitted.classes}
        assert row["predicted"] == max(shares, key=lambda name: shares[name])
        right += row["predicted"] == row["class"]
    record = read_record(folder)
    assert right / len(rows) == pytest.approx(record.metrics["test/accuracy"])
    matrix = record.figures["test/confusion_matrix"]["values"]
    assert sum(matrix[k][k] for k in range(2)) == right


@pytest.mark.parametrize(
    ("make", "options", "said"),
    [
        (texts, ["tokenizer=none"], "choose how they are cut"),
        (numbers, ["tokenizer=char"], "are numbers; take tokenizer=none"),
        (texts, ["task.read_padding=true"], "say which with task.max_length"),
        (texts, ["task.max_length=0"], "task.max_length=0: must be at least 1"),
        (texts, ["task.class_weights={good: 1}"], "look at bad"),
        (texts, ["model.tied_weights=true"], "no embedding to share"),
        (texts, ["task.monitor=validation/f1_mac"], "did you mean validation/f1_macro"),
        (lambda: texts(labels=("a", "b", "c")), ["task.output=sigmoid"], "there are 3"),
        (
            lambda: LabeledSequences("values", numbers().inputs, np.zeros((120, 1))),
            [],
            "its targets are values",
        ),
        (unseen, [], r"the test split has the class 'zebra' \(20 times, first for '\w+ "),
    ],
)
def test_what_does_not_fit_is_one_sentence(
    make: Callable[[], LabeledSequences], options: list[str], said: str, loading: Load
) -> None:
    examples = make()
    with pytest.raises((ConfigError, DataError), match=said) as caught:
        config = loading(examples, *options)
        data = data_of(config)
        build_task(config.task).parts(data.fitted, config.model)
    assert "\n" not in str(caught.value)
