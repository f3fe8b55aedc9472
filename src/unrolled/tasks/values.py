"""What tasks that predict values share: scaling, their data, and their metrics' names."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from unrolled.errors import DataError, RunError
from unrolled.runs.files import write_json
from unrolled.runs.task import Metric, TaskDescription
from unrolled.tasks.examples import ArrayData, ExampleTask
from unrolled.tasks.interface import Interface
from unrolled.tasks.prediction import PredictingTask
from unrolled.tasks.task import read_kept

if TYPE_CHECKING:
    import pytorch_lightning as pl

Floats = npt.NDArray[np.float64]
How = Literal["standard", "none"]

SCALER = "scaler.json"
METRICS = {
    "loss": Metric("min", "squared error"),
    "mse": Metric("min"),
    "mae": Metric("min"),
    "rmse": Metric("min"),
    "mape": Metric("min"),
    "r2": Metric("max"),
}


@dataclass(frozen=True)
class Scaler:
    """What was fitted to the training split: (x - mean) / scale for each column.

    Attributes:
        inputs, targets: the names of the columns that are read, and of those that are predicted.
        input_mean, input_scale, target_mean, target_scale: one for each of them.
        naive_errors: for each target the mean absolute error of the seasonal naive forecast over
            the training split, which MASE is relative to; empty where there is no series.
        constant: inputs that have one value in all of the training split, which become 0.
    """

    inputs: Sequence[str]
    targets: Sequence[str]
    input_mean: Sequence[float]
    input_scale: Sequence[float]
    target_mean: Sequence[float]
    target_scale: Sequence[float]
    naive_errors: Sequence[float] = ()
    constant: Sequence[str] = ()

    def scaled(self, inputs: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Inputs ``[..., inputs]`` as a model reads them."""
        result: Floats = (inputs - np.asarray(self.input_mean)) / np.asarray(self.input_scale)
        return result.astype(np.float32)

    @property
    def treated(self) -> dict[str, int]:
        """What a record says of inputs that tell nothing."""
        if not self.constant:
            return {}
        names = ", ".join(self.constant)
        return {f"constant in the training split, and so read as 0 ({names})": len(self.constant)}

    def require_columns(self, name: str, inputs: Sequence[str], targets: Sequence[str]) -> None:
        """Refuse data with other columns than the model was trained on.

        Raises:
            DataError: which it has, and which it should have.
        """
        for what, own, other in (
            ("reads", self.inputs, inputs),
            ("predicts", self.targets, targets),
        ):
            if list(own) != list(other):
                raise DataError(
                    f"dataset={name}: the model {what} {', '.join(own)}, and the data has "
                    f"{', '.join(other)}"
                )


def spread(columns: Floats, how: How = "standard") -> tuple[Floats, Floats]:
    """Mean and standard deviation of each column ``[rows, columns]``; 1 for a constant one.

    Args:
        how: ``none``: 0 and 1, which leave everything as it is.
    """
    if how == "none":
        return np.zeros(columns.shape[1]), np.ones(columns.shape[1])
    # A constant's mean is not always exactly itself, nor its standard deviation exactly 0.
    constant = np.ptp(columns, axis=0) == 0
    mean = np.where(constant, columns[0], columns.mean(0))
    return mean, np.where(constant, 1.0, columns.std(0))


def constant_columns(columns: Floats, names: Sequence[str]) -> list[str]:
    """The names of columns ``[rows, columns]`` that have one value."""
    return [name for name, range_ in zip(names, np.ptp(columns, 0), strict=True) if range_ == 0]


def require_varying(name: str, columns: Floats, targets: Sequence[str]) -> None:
    """Refuse a target that has one value in all of the training split.

    Raises:
        DataError: which.
    """
    for target, column in zip(targets, columns.T, strict=True):
        if np.ptp(column) == 0:
            raise DataError(
                f"dataset={name}: the target {target} is {column[0]:g} in all of the training "
                "split; there is nothing to learn about it"
            )


def beside_level(truth: Floats, level: Floats) -> Floats:
    """Targets as ``ScaledHead`` takes them: ``[examples, 2, values]``.

    Args:
        truth: in the data's own units, ``[examples, ..., targets]``.
        level: what predictions are relative to, of the same shape or one that broadcasts to it.
    """
    both = np.stack([truth, np.broadcast_to(level, truth.shape)], 1)
    return both.reshape(len(truth), 2, -1)


@dataclass(frozen=True, kw_only=True)
class ValueData(ArrayData):
    """Examples in memory whose inputs are scaled, and whose targets are in their own units.

    Attributes:
        content: sha256 of what was read, before it was split.
        about: what a record says of it besides the sizes.
        unit: of the targets; empty where it is not known.
    """

    fitted: Scaler
    content: str
    about: Mapping[str, Any]
    unit: str

    @property
    def fingerprint(self) -> str:
        """sha256 of what was read, before it was split and scaled."""
        return self.content

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), **self.about}

    def write(self, folder: Path) -> None:
        """Write the scaler into a run's folder."""
        write_json(folder / SCALER, asdict(self.fitted))

    def truth(self, split: str) -> Floats:
        """The targets of a split in their own units, ``[examples, steps, targets]``."""
        targets = np.asarray(self.splits[split][1])
        return targets[:, 0].reshape(len(targets), -1, len(self.fitted.targets))

    def places(self) -> Mapping[str, npt.NDArray[Any]]:
        """What each predicted value of the test split is of, in the order of ``truth``: columns
        of ``predictions.csv``."""
        examples, _, targets = np.indices(self.truth("test").shape)
        return {
            "example": examples.ravel() + 1,
            "target": np.asarray(self.fitted.targets)[targets.ravel()],
        }


class ValueTask(ExampleTask, PredictingTask):
    """A task that predicts real values."""

    def restore(self, folder: Path) -> Scaler:
        try:
            return Scaler(**json.loads(read_kept(folder, SCALER)))
        except (ValueError, TypeError) as error:
            raise RunError(f"{folder / SCALER}: damaged ({error})") from error

    def interface(self, fitted: Scaler) -> Interface:
        return Interface(
            {
                "kind": "numbers",
                "features": [*fitted.inputs],
                "scaling": "(number - mean) / scale",
                "mean": [*fitted.input_mean],
                "scale": [*fitted.input_scale],
            },
            {
                "kind": "scaled values",
                "targets": [*fitted.targets],
                "value": "mean + scale * score",
                "mean": [*fitted.target_mean],
                "scale": [*fitted.target_scale],
            },
        )

    def describe(self, data: ValueData | None = None) -> TaskDescription:
        about = super().describe(data)
        if data is None or not data.unit:
            return about
        units = {"mae": data.unit, "rmse": data.unit, "mse": f"{data.unit}²"}
        metrics = {
            name: replace(metric, unit=units.get(name, metric.unit))
            for name, metric in about.metrics.items()
        }
        return replace(about, metrics=metrics)

    def relative(self, values: Floats, level: Floats) -> Floats:
        """Values as a model predicts them, before they are scaled: relative to a level."""
        return values - level

    def baseline(self, data: ValueData, split: str, predicted: Floats) -> dict[str, float]:
        """What a prediction ``[examples, steps, targets]`` of a split scores."""
        from unrolled.tasks.value_errors import errors

        truth = data.truth(split)
        predicted = np.broadcast_to(predicted, truth.shape)
        scores = self.relative(predicted, truth) / np.asarray(data.fitted.target_scale)
        figures = {"loss": float(np.mean(scores**2))}
        figures |= errors(truth, predicted, data.fitted.naive_errors)
        return {f"{split}/{name}": value for name, value in figures.items() if np.isfinite(value)}

    def cautions(self, data: ValueData) -> dict[str, str]:
        found = {}
        for split in ("validation", "test"):
            truth = data.truth(split)
            if zeros := int((truth == 0).sum()):
                found[f"{split}/mape"] = (
                    f"{zeros:,} of the {truth.size:,} {split} values are 0, of which no error is "
                    "a percentage; they are left out."
                )
        return found

    def callbacks(self, data: ValueData, folder: Path, seed: int) -> "list[pl.Callback]":
        from unrolled.tasks.value_errors import PredictionsFile

        return [PredictionsFile(folder, data.places)]
