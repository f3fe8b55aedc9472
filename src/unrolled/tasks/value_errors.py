"""How far predicted values are from true ones, in the data's own units."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pytorch_lightning
import torch
from torch import Tensor
from torchmetrics.functional import (
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    r2_score,
)

from unrolled.models.heads import Head, ValueHead
from unrolled.runs.figures import Figure
from unrolled.runs.files import atomic_path

Floats = npt.NDArray[np.float64]

PREDICTIONS = "predictions.csv"


class ScaledHead(ValueHead):
    """Values in their own units: what is predicted is level + scale × score.

    Its targets are ``[batch, 2, values]``: the true values, and the level that each is relative
    to. The loss is the squared error of the scores, and so of scaled values.

    Args:
        hidden_size: the width of the recurrence's output.
        scale: of each value.
        growth: what is predicted is level × exp(scale × score).
    """

    scale: Tensor

    def __init__(self, hidden_size: int, scale: Sequence[float], *, growth: bool = False) -> None:
        super().__init__(hidden_size, len(scale))
        wide = torch.tensor([*scale], dtype=torch.float64)
        self.register_buffer("scale", wide, persistent=False)
        self.growth = growth

    def loss_of_scores(self, scores: Tensor, targets: Tensor) -> Tensor:
        return super().loss_of_scores(scores, self.exact(targets))

    def exact(self, targets: Tensor) -> Tensor:
        """The scores that would predict the true values: ``[batch, values]`` of float64."""
        truth, level = targets.unbind(1)
        relative = (truth / level).log() if self.growth else truth - level
        return relative / self.scale

    def predicted(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Values in their own units, ``[batch, values]`` of float64.

        Args:
            targets: of which only the levels are read, the last of ``[batch, ..., values]``.
        """
        level, change = targets[:, -1], self.scale * scores.double()
        return level * change.exp() if self.growth else level + change


class ValueErrors:
    """Keeps all predictions of a split, and measures them together.

    Args:
        naive_errors: see ``errors``.
        targets: how many there are.
        draw: figures of what was predicted, from truth and prediction.

    Attributes:
        truth, predicted: in their own units, ``[examples, steps, targets]``.
    """

    def __init__(
        self,
        naive_errors: Sequence[float],
        targets: int,
        draw: Callable[[Floats, Floats], dict[str, Figure]] | None = None,
    ) -> None:
        self.naive_errors, self.targets, self.draw = naive_errors, targets, draw
        self.loss = 0.0
        self._truth: list[Tensor] = []
        self._predicted: list[Tensor] = []

    def update(self, head: Head, hidden: Tensor, targets: Tensor) -> None:
        """Add a batch: ``hidden`` ``[batch, hidden_size]``, ``targets`` ``[batch, 2, values]``."""
        assert isinstance(head, ScaledHead)
        scores = head.scores(hidden)
        self.loss += float(head.loss_of_scores(scores, targets))
        self._truth.append(targets[:, 0].cpu())
        self._predicted.append(head.predicted(scores, targets).cpu())

    @property
    def truth(self) -> Floats:
        return self._together(self._truth)

    @property
    def predicted(self) -> Floats:
        return self._together(self._predicted)

    def compute(self) -> dict[str, float]:
        """The metrics of the task."""
        truth = self.truth
        return {
            "loss": self.loss / len(truth),
            **errors(truth, self.predicted, self.naive_errors),
        }

    def figures(self) -> dict[str, Figure]:
        """What was predicted, drawn against the truth."""
        return self.draw(self.truth, self.predicted) if self.draw else {}

    def _together(self, parts: list[Tensor]) -> Floats:
        rows = torch.cat(parts).numpy()
        values: Floats = rows.reshape(len(rows), -1, self.targets)
        return values


def errors(truth: Floats, predicted: Floats, naive_errors: Sequence[float]) -> dict[str, float]:
    """The metrics of predictions ``[examples, steps, targets]``, over all of them.

    Of several targets, R² is the mean of each one's own. Errors in percent leave out true values
    of 0. MASE is the mean absolute error relative to that of the seasonal naive forecast over the
    training split, a mean over the targets (Hyndman & Koehler 2006, section 3).

    Args:
        naive_errors: that of each target; empty: no MASE.
    """
    targets = truth.shape[-1]
    true, found = (torch.tensor(values).reshape(-1, targets) for values in (truth, predicted))
    mse = float(mean_squared_error(found, true))
    there = true != 0
    result = {
        "mse": mse,
        "mae": float(mean_absolute_error(found, true)),
        "rmse": math.sqrt(mse),
        "mape": math.nan,
        # One value has no variance to explain.
        "r2": float(r2_score(found, true)) if len(true) > 1 else math.nan,
    }
    if there.any():
        result["mape"] = float(mean_absolute_percentage_error(found[there], true[there]))
    if naive_errors:
        with np.errstate(divide="ignore", invalid="ignore"):
            by_target = np.abs(truth - predicted).mean((0, 1)) / np.asarray(naive_errors)
        result["mase"] = float(by_target.mean())
    return result


class PredictionsFile(pytorch_lightning.Callback):
    """Writes each prediction of the test split into ``predictions.csv``.

    Args:
        places: what each is of, when it is asked for.
    """

    def __init__(self, folder: Path, places: Callable[[], Mapping[str, npt.NDArray[Any]]]) -> None:
        self.folder, self.places = folder, places

    def on_test_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        evaluator = pl_module.evaluator
        truth, predicted = evaluator.truth.ravel(), evaluator.predicted.ravel()
        # A debugging run may have predicted only so many batches.
        columns = {name: values[: len(truth)] for name, values in self.places().items()}
        table = pl.DataFrame({**columns, "truth": truth, "predicted": predicted})
        with atomic_path(self.folder / PREDICTIONS) as path:
            table.write_csv(path)
