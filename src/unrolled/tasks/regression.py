"""Regression: from a sequence to one or more values."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from omegaconf import DictConfig

from unrolled.data.corpus import SPLITS
from unrolled.data.labeled import LabeledSequences
from unrolled.data.sequences import Sequences
from unrolled.errors import DataError
from unrolled.tasks.prediction import NewData
from unrolled.tasks.task import Sources
from unrolled.tasks.values import (
    METRICS,
    Floats,
    How,
    Scaler,
    ValueData,
    ValueTask,
    beside_level,
    constant_columns,
    require_varying,
    spread,
)

if TYPE_CHECKING:
    from unrolled.data.batches import Batch
    from unrolled.models.build import Parts
    from unrolled.models.model import RecurrentModel
    from unrolled.models.pooling import Readout
    from unrolled.tasks.value_errors import ValueErrors


class Regression(ValueTask):
    """One or more values for each sequence of features.

    Args:
        pooling: what of a sequence's states the head reads: the ``last`` (with both directions,
            each one's last), their ``mean`` or ``max``, or a learned ``attention``.
        bidirectional: whether each layer also reads backwards in time.
        scaling: ``standard``: each feature and each target minus its mean over the training split,
            divided by its standard deviation; ``none``.
    """

    takes = LabeledSequences
    uses_folds = True
    primary = "rmse"
    headline = ("rmse", "mae", "r2")
    metrics = METRICS

    def __init__(
        self,
        *,
        name: str,
        pooling: Literal["last", "mean", "max", "attention"],
        bidirectional: bool,
        scaling: How,
        batch_size: int,
        evaluation_batch_size: int,
        monitor: str | None = None,
    ) -> None:
        super().__init__(
            name=name,
            monitor=monitor,
            batch_size=batch_size,
            evaluation_batch_size=evaluation_batch_size,
        )
        self.pooling: Readout = pooling
        self.bidirectional = bidirectional
        self.scaling: How = scaling

    def prepare(self, sources: Sources, fitted: Scaler | None = None) -> ValueData:
        examples = sources.load_as(LabeledSequences, self.name)
        name = sources.dataset.name
        inputs, targets = examples.inputs, examples.targets
        if not isinstance(inputs, Sequences):
            raise DataError(
                f"dataset={name}: its inputs are texts, and task={self.name} takes numbers"
            )
        if not isinstance(targets, np.ndarray):
            raise DataError(
                f"dataset={name}: its targets are classes, and task={self.name} predicts values; "
                "take values from it, or task=classification"
            )
        features = _names(examples.feature_names, inputs.steps.shape[1], "feature")
        values = _names(examples.target_names, targets.shape[1], "value")
        _require_finite(name, inputs, features, targets, values)
        places = examples.places(sources.fold)
        if fitted is None:
            training = places["train"]
            steps = inputs.take(training).steps.astype(np.float64)
            fitted = self._fit(name, steps, targets[training], features, values)
        else:
            fitted.require_columns(name, features, values)
        scaled = Sequences(fitted.scaled(inputs.steps), inputs.offsets)
        level = np.asarray(fitted.target_mean)
        splits = {
            split: (scaled.take(places[split]), beside_level(targets[places[split]], level))
            for split in SPLITS
        }
        about = {
            "features": features,
            "targets": values,
            "treated": {**examples.treated, **fitted.treated},
        }
        return ValueData(
            examples.name,
            splits,
            fitted=fitted,
            content=examples.fingerprint,
            about=about,
            unit="",
        )

    def _fit(
        self, name: str, steps: Floats, targets: Floats, features: list[str], values: list[str]
    ) -> Scaler:
        """What the training split says: steps ``[steps, features]``, targets ``[examples,
        values]``."""
        require_varying(name, targets, values)
        mean, scale = spread(steps, self.scaling)
        target_mean, target_scale = spread(targets, self.scaling)
        return Scaler(
            features,
            values,
            mean.tolist(),
            scale.tolist(),
            target_mean.tolist(),
            target_scale.tolist(),
            constant=constant_columns(steps, features),
        )

    def parts(self, fitted: Scaler, model: DictConfig) -> "Parts":
        from unrolled.models.build import Parts
        from unrolled.models.encoders import Features
        from unrolled.tasks.value_errors import ScaledHead

        features, scale = len(fitted.inputs), fitted.target_scale
        return Parts(
            features,
            lambda: Features(features),
            lambda size, _: ScaledHead(size, scale),
            self.pooling,
            self.bidirectional,
        )

    def read_new(self, fitted: Scaler, new: NewData) -> Sequences:
        return new.sequences(len(fitted.inputs))

    def predict(
        self, fitted: Scaler, model: "RecurrentModel", inputs: Sequences
    ) -> Iterator[Mapping[str, Any]]:
        """The values of each sequence, a row each."""
        import torch

        scaled = Sequences(fitted.scaled(inputs.steps), inputs.offsets)
        level = np.broadcast_to(fitted.target_mean, (len(inputs), len(fitted.targets)))
        head: Any = model.head
        model.eval()
        row = 0
        with torch.inference_mode():
            for batch in self._new_batches(scaled, beside_level(level, level)):
                hidden, _ = model(batch.inputs, None, batch.lengths, batch.padded)
                for values in head.predicted(head.scores(hidden), batch.targets).tolist():
                    row += 1
                    yield {"row": row, **dict(zip(fitted.targets, values, strict=True))}

    def _new_batches(self, inputs: Sequences, targets: Floats) -> "Iterator[Batch]":
        from unrolled.data.batches import ExampleBatches, Examples

        examples = Examples(inputs, targets)
        return map(examples.__getitem__, ExampleBatches(len(inputs), self.evaluation_batch_size))

    def evaluator(self, data: ValueData, split: str) -> "ValueErrors":
        from unrolled.tasks.value_errors import ValueErrors

        return ValueErrors(data.fitted.naive_errors, len(data.fitted.targets))

    def baselines(self, data: ValueData) -> dict[str, dict[str, float]]:
        mean = data.truth("train").mean(0)
        figures: dict[str, float] = {}
        for split in SPLITS[1:]:
            figures |= self.baseline(data, split, mean)
        return {"mean": figures}


def _names(names: Sequence[str], count: int, word: str) -> list[str]:
    """The columns' names, or numbers where the data has no names."""
    return [*names] or [f"{word} {place + 1}" for place in range(count)]


def _require_finite(
    name: str, inputs: Sequences, features: Sequence[str], targets: Floats, values: Sequence[str]
) -> None:
    """Refuse numbers that are missing or infinite."""
    wrong = np.argwhere(~np.isfinite(inputs.steps))
    if len(wrong):
        row, column = wrong[0]
        example = int(np.searchsorted(inputs.offsets, row, side="right")) - 1
        what = f"{features[column]} of example {example + 1} is {inputs.steps[row, column]}"
    elif len(wrong := np.argwhere(~np.isfinite(targets))):
        example, column = wrong[0]
        what = f"{values[column]} of example {example + 1} is {targets[example, column]}"
    else:
        return
    raise DataError(f"dataset={name}: {what}; a model learns from finite numbers")
