"""Classification: read a text or a sequence of numbers, and name its class."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from omegaconf import DictConfig

from unrolled.data.labeled import LabeledSequences
from unrolled.data.sequences import Sequences
from unrolled.errors import ConfigError, DataError
from unrolled.runs.task import Metric
from unrolled.tasks.classification.data import (
    ClassifiedData,
    Fitted,
    encode,
    fit,
    read_fitted,
)
from unrolled.tasks.examples import ArrayData, ExampleTask
from unrolled.tasks.interface import Interface
from unrolled.tasks.prediction import NewData, PredictingTask
from unrolled.tasks.task import Sources, require_at_least

if TYPE_CHECKING:
    import pytorch_lightning as pl
    from torch import Tensor

    from unrolled.models.build import Parts
    from unrolled.models.encoders import Encoder
    from unrolled.models.heads import Head
    from unrolled.models.model import RecurrentModel
    from unrolled.tasks.classification.metrics import ClassificationMetrics

AVERAGES = ("macro", "micro", "weighted")


class Classification(ExampleTask, PredictingTask):
    """One class of each sequence: the negative log-likelihood of the true one is the loss.

    Padding is never read, so neither its side nor the other sequences of a batch change a result.

    Args:
        pooling: what of the recurrence's outputs the head reads: the ``last`` (of each direction),
            their ``mean``, ``max``, or a learned ``attention``.
        bidirectional: whether each layer also reads backwards in time.
        output: one ``sigmoid``, for two classes, or a ``softmax``; None: as the number of classes
            has it.
        class_weights: what the loss of an example of each class counts in training: ``balanced``
            is inversely to how frequent the class is (examples / (classes * examples of the
            class)), or a number for each class; None: 1. The loss of an evaluation has none.
        max_length: steps of a sequence at most; longer ones are truncated. None: no limit.
        keep: which part of a truncated sequence stays.
        padding: the side on which a batch's shorter sequences are padded.
        read_padding: the network reads padding as if it were a step of its own (a word of its own,
            zeros), as in Keras without masking; then each sequence has ``max_length`` steps.
        similar_lengths: whether a batch's sequences are of similar length, which saves time.
        scaling: of numbers: ``standard`` makes each feature's mean 0 and its deviation 1 over the
            training split.
    """

    takes = LabeledSequences
    uses_tokenizer = None
    uses_folds = True
    primary = "accuracy"
    headline = ("accuracy", "f1_macro", "auroc", "loss")
    metrics = {
        "loss": Metric("min", "nats"),
        "accuracy": Metric("max"),
        **{
            f"{name}_{average}": Metric("max")
            for name in ("precision", "recall", "f1")
            for average in AVERAGES
        },
        "auroc": Metric("max"),
        "average_precision": Metric("max"),
        "calibration_error": Metric("min"),
    }

    def __init__(
        self,
        *,
        name: str,
        batch_size: int,
        evaluation_batch_size: int,
        pooling: Literal["last", "mean", "max", "attention"] = "last",
        bidirectional: bool = False,
        output: Literal["sigmoid", "softmax"] | None = None,
        class_weights: Literal["balanced"] | dict[str, float] | None = None,
        max_length: int | None = None,
        keep: Literal["first", "last"] = "first",
        padding: Literal["right", "left"] = "right",
        read_padding: bool = False,
        similar_lengths: bool = True,
        scaling: Literal["standard", "none"] = "none",
        monitor: str | None = None,
    ) -> None:
        super().__init__(
            name=name,
            monitor=monitor,
            batch_size=batch_size,
            evaluation_batch_size=evaluation_batch_size,
        )
        require_at_least(1, max_length=max_length)
        if read_padding and max_length is None:
            raise ConfigError(
                "task.read_padding=true: every sequence is padded to the same length then, so "
                "that no result depends on its batch; say which with task.max_length"
            )
        if isinstance(class_weights, Mapping):
            require_at_least(0, **{f"class_weights.{k}": v for k, v in class_weights.items()})
        self.pooling: Literal["last", "mean", "max", "attention"] = pooling
        self.bidirectional = bidirectional
        self.output = output
        self.class_weights = class_weights
        self.max_length = max_length
        self.keep = keep
        self.padding = padding
        self.read_padding = read_padding
        self.similar_lengths = similar_lengths
        self.scaling = scaling

    def prepare(self, sources: Sources, fitted: Fitted | None = None) -> ClassifiedData:
        examples = sources.load_as(LabeledSequences, self.name)
        self._require_classes(examples, sources)
        places = examples.places(sources.fold)
        if fitted is None:
            make = sources.make_tokenizer if examples.has_texts else None
            fitted = fit(examples, places["train"], make, scaling=self.scaling)
            self._require_fitting(fitted)
        encoded = encode(examples, places, fitted)
        treated = Counter(encoded.treated)
        if self.max_length is not None:
            treated[f"sequences truncated to {self.max_length} steps"] = sum(
                int((inputs.lengths > self.max_length).sum())
                for inputs, _ in encoded.splits.values()
            )
        return replace(
            encoded,
            splits={
                split: (self._steps(inputs, fitted), targets)
                for split, (inputs, targets) in encoded.splits.items()
            },
            treated={what: count for what, count in treated.items() if count},
        )

    def restore(self, folder: Path) -> Fitted:
        return read_fitted(folder)

    def parts(self, fitted: Fitted, model: DictConfig) -> "Parts":
        from unrolled.models.build import Parts
        from unrolled.models.encoders import Embedding, Features
        from unrolled.models.heads import BinaryHead, ClassHead

        if model.tied_weights:
            raise ConfigError(
                f"model.tied_weights=true: task={self.name} names classes, which have no "
                "embedding to share; take model.tied_weights=false"
            )
        weights = self._weights(fitted)

        def head(hidden_size: int, encoder: "Encoder") -> "Head":
            if self._one_output(fitted):
                return BinaryHead(hidden_size, weights)
            return ClassHead(hidden_size, len(fitted.classes), weights)

        tokenizer = fitted.tokenizer
        size = fitted.features if tokenizer is None else model.embedding_size

        def encoder() -> "Encoder":
            if tokenizer is None:
                return Features(size)
            # The last id stands for padding where that is read.
            return Embedding(tokenizer.vocabulary_size + int(self.read_padding), size)

        return Parts(size, encoder, head, self.pooling, self.bidirectional)

    def interface(self, fitted: Fitted) -> Interface:
        one = self._one_output(fitted)
        tokenizer = fitted.tokenizer
        if tokenizer is None:
            about: dict[str, Any] = {
                "kind": "numbers",
                "features": fitted.features,
                "scaling": "(number - mean) / scale",
                "mean": [*fitted.center],
                "scale": [*fitted.scale],
            }
        else:
            about = {"kind": "token ids", "vocabulary_size": tokenizer.vocabulary_size}
        read: dict[str, Any] = {"max_length": self.max_length, "keep": self.keep}
        if self.read_padding:
            # Padding is a step like any other, so every sequence is max_length long.
            value = 0 if tokenizer is None else tokenizer.vocabulary_size
            read |= {"pad_to_max_length": self.padding, "padding_value": value}
        kind = "logit of the second label (sigmoid)" if one else "logits of the labels (softmax)"
        scores = {"kind": kind, "labels": [*fitted.classes]}
        return Interface({**about, **read}, scores, tokenizer, whole_texts=False)

    def evaluator(self, data: ClassifiedData, split: str) -> "ClassificationMetrics":
        from unrolled.tasks.classification.metrics import ClassificationMetrics

        return ClassificationMetrics(data.fitted.classes)

    def training_metrics(
        self, data: ClassifiedData, loss: float, predicted: "Tensor", targets: "Tensor"
    ) -> dict[str, float]:
        return {"loss": loss, "accuracy": float((predicted == targets).float().mean())}

    def baselines(self, data: ClassifiedData) -> dict[str, dict[str, float]]:
        """What the classes' shares in training give: the most frequent one is always named."""
        from unrolled.tasks.classification.metrics import of_constant

        counts = data.counts("train")
        return {
            "majority": {
                f"{split}/{name}": value
                for split in ("validation", "test")
                for name, value in of_constant(
                    counts, data.splits[split][1], data.fitted.classes
                ).items()
            }
        }

    def callbacks(self, data: ClassifiedData, folder: Path, seed: int) -> "Iterable[pl.Callback]":
        from unrolled.tasks.classification.predictions import WritePredictions

        return [WritePredictions(data, self.batches(data, seed=seed), folder)]

    def read_new(self, fitted: Fitted, new: NewData) -> "Sequence[str] | Sequences":
        if fitted.tokenizer is None:
            return new.sequences(fitted.features)
        from unrolled.tasks.classification.new_data import read_texts

        return read_texts(new)

    def predict(
        self, fitted: Fitted, model: "RecurrentModel", inputs: "Sequence[str] | Sequences"
    ) -> Iterator[Mapping[str, Any]]:
        from unrolled.tasks.classification.new_data import answers

        steps = self._steps(fitted.encode(inputs, "the new data")[0], fitted)
        unknown = np.zeros(len(steps), dtype=np.int64)
        data = ArrayData("the new data", {"new": (steps, unknown)})
        return answers(fitted, model, self.batches(data, seed=0))

    def _steps(self, inputs: Sequences, fitted: Fitted) -> Sequences:
        """Encoded inputs as the network reads them: truncated, and padded where that is read."""
        if self.max_length is None:
            return inputs
        inputs = inputs.clipped(self.max_length, self.keep)
        if not self.read_padding:
            return inputs
        tokenizer = fitted.tokenizer
        value = 0 if tokenizer is None else tokenizer.vocabulary_size
        everyone = np.arange(len(inputs))
        padded = inputs.padded(everyone, value=value, side=self.padding, time=self.max_length)
        return Sequences.of_equal(np.ascontiguousarray(padded.swapaxes(0, 1)))

    def _one_output(self, fitted: Fitted) -> bool:
        return self.output == "sigmoid" or (self.output is None and len(fitted.classes) == 2)

    def _require_classes(self, examples: LabeledSequences, sources: Sources) -> None:
        if not examples.has_classes:
            raise DataError(
                f"dataset={examples.name}: its targets are values, and task={self.name} takes "
                "classes; name a column of classes, or take task=regression"
            )
        has_tokenizer = "_target_" in sources.tokenizer
        if has_tokenizer and not examples.has_texts:
            raise ConfigError(
                f"tokenizer={sources.tokenizer.name}: the inputs of dataset={examples.name} are "
                "numbers; take tokenizer=none"
            )
        if not has_tokenizer and examples.has_texts:
            raise ConfigError(
                f"tokenizer={sources.tokenizer.name}: the inputs of dataset={examples.name} are "
                "texts; choose how they are cut, such as tokenizer=word_lower"
            )

    def _require_fitting(self, fitted: Fitted) -> None:
        """Refuse options that do not fit the classes."""
        if self.output == "sigmoid" and len(fitted.classes) != 2:
            raise ConfigError(
                f"task.output=sigmoid: one output tells two classes apart, and there are "
                f"{len(fitted.classes)}; take task.output=softmax"
            )
        if isinstance(self.class_weights, Mapping):
            given, there = set(self.class_weights), set(fitted.classes)
            if given != there:
                odd = ", ".join(sorted(given ^ there))
                raise ConfigError(
                    f"task.class_weights: it needs a number for each class and no other; look at "
                    f"{odd}"
                )

    def _weights(self, fitted: Fitted) -> list[float] | None:
        if self.class_weights is None:
            return None
        if isinstance(self.class_weights, Mapping):
            return [float(self.class_weights[name]) for name in fitted.classes]
        examples, classes = sum(fitted.counts), len(fitted.counts)
        return [examples / (classes * count) for count in fitted.counts]
