"""Forecasting: from a window of a series to the values of its next steps."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view
from omegaconf import DictConfig

from unrolled.data.corpus import SPLITS
from unrolled.data.series import Series
from unrolled.errors import DataError
from unrolled.runs.figures import Figure, Forecast
from unrolled.runs.task import Metric
from unrolled.tasks.interface import Interface
from unrolled.tasks.prediction import NewData
from unrolled.tasks.task import Sources, require_at_least
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
    from unrolled.models.build import Parts
    from unrolled.models.model import RecurrentModel
    from unrolled.tasks.value_errors import ValueErrors

Starts = npt.NDArray[np.int64]

# What a figure shows at most: steps of forecast, as many of history, and targets.
SHOWN_STEPS = 500
SHOWN_TARGETS = 4


@dataclass(frozen=True, kw_only=True)
class SeriesData(ValueData):
    """Windows of a series.

    Attributes:
        series: the series itself.
        starts: for each split the first step that each window's target is of.
    """

    series: Series
    starts: Mapping[str, Starts]

    def places(self) -> Mapping[str, npt.NDArray[Any]]:
        windows, steps, targets = np.indices(self.truth("test").shape)
        starts, times = self.starts["test"][windows], np.asarray(self.series.times)
        return {
            "known_until": times[starts - 1].ravel(),
            "time": times[starts + steps].ravel(),
            "target": np.asarray(self.fitted.targets)[targets.ravel()],
        }


class Forecasting(ValueTask):
    """Direct forecasts: the last state of a window gives all steps of the horizon at once.

    A window belongs to the split that all steps of its target are in; its history may reach back
    into the splits before, as it would when the forecast is made. Everything that is fitted comes
    from the training split.

    Args:
        window: steps of history.
        horizon: steps ahead that are predicted.
        target: how targets are read and predicted; other variables stay as they are. ``value``: as
            they are, too. ``change``: less the last value of each window, so that a trend does not
            lead out of what was seen in training (as in NLinear of Zeng et al. 2023). ``growth``:
            the logarithm of their ratio to it, for what grows by percentages and is above 0.
        scaling: ``standard``: each variable minus its mean over the training split, divided by its
            standard deviation; ``none``.
    """

    takes = Series
    uses_folds = True
    primary = "mase"
    headline = ("mase", "mae", "rmse", "r2")
    metrics = {**METRICS, "mase": Metric("min")}

    def __init__(
        self,
        *,
        name: str,
        window: int,
        horizon: int,
        target: Literal["value", "change", "growth"],
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
        require_at_least(1, window=window, horizon=horizon)
        self.window, self.horizon = window, horizon
        self.target = target
        self.scaling: How = scaling

    def prepare(self, sources: Sources, fitted: Scaler | None = None) -> SeriesData:
        series = sources.load_as(Series, self.name)
        if self.target == "growth":
            for target, place in zip(series.targets, series.target_places, strict=True):
                _require_positive(target, series.values[:, place], f"dataset={series.name}")
        bounds = series.bounds(sources.fold)
        starts = {split: self._starts(series, split, *bounds[split]) for split in SPLITS}
        if fitted is None:
            fitted = self._fit(series, starts["train"], bounds["train"][1])
        else:
            fitted.require_columns(series.name, series.variables, series.targets)
        sizes = {
            split: {
                "examples": len(starts[split]),
                "length": self.window,
                "steps": end - begin,
                "first": series.times[begin],
                "last": series.times[end - 1],
            }
            for split, (begin, end) in bounds.items()
        }
        about = {
            "sizes": sizes,
            "variables": [*series.variables],
            "targets": [*series.targets],
            "season": series.season,
            "treated": {**series.treated, **fitted.treated},
        }
        splits = {split: self._windows(series, fitted, starts[split]) for split in SPLITS}
        return SeriesData(
            series.name,
            splits,
            fitted=fitted,
            content=series.fingerprint,
            about=about,
            unit=series.unit,
            series=series,
            starts=starts,
        )

    def parts(self, fitted: Scaler, model: DictConfig) -> "Parts":
        from unrolled.models.build import Parts
        from unrolled.models.encoders import Features
        from unrolled.tasks.value_errors import ScaledHead

        features, scale = len(fitted.inputs), [*fitted.target_scale] * self.horizon
        return Parts(
            features,
            lambda: Features(features),
            lambda size, _: ScaledHead(size, scale, growth=self.target == "growth"),
            "last",
        )

    def interface(self, fitted: Scaler) -> Interface:
        about = super().interface(fitted)
        read = {**about.inputs, "window": self.window}
        scores = {**about.scores, "horizon": self.horizon, "order": "step by step, all targets"}
        if self.target != "value":
            # What is predicted is relative to the last value of the window, as the targets'
            # columns are read.
            last, growth = "the last value of the window", self.target == "growth"
            read["targets"] = f"log(number / {last})" if growth else f"number - {last}"
            scores["value"] = (
                f"{last} * exp(scale * score)" if growth else f"{last} + scale * score"
            )
        return replace(about, inputs=read, scores=scores)

    def evaluator(self, data: SeriesData, split: str) -> "ValueErrors":
        from unrolled.tasks.value_errors import ValueErrors

        def draw(truth: Floats, predicted: Floats) -> dict[str, Figure]:
            return forecasts(data, split, truth, predicted)

        return ValueErrors(data.fitted.naive_errors, len(data.fitted.targets), draw)

    def baselines(self, data: SeriesData) -> dict[str, dict[str, float]]:
        series = data.series
        values = series.values[:, series.target_places]
        ahead = np.arange(self.horizon)
        found: dict[str, dict[str, float]] = {"naive": {}, "seasonal naive": {}, "mean": {}}
        for split in SPLITS[1:]:
            starts = data.starts[split][:, None]
            found["naive"] |= self.baseline(data, split, values[starts - 1])
            if series.season > 1:
                # The same season of the last cycle that is known.
                cycles = ahead // series.season + 1
                before = starts + ahead - cycles * series.season
                found["seasonal naive"] |= self.baseline(data, split, values[before])
            mean = values[: data.starts["train"][-1] + self.horizon].mean(0)
            found["mean"] |= self.baseline(data, split, mean)
        return {label: figures for label, figures in found.items() if figures}

    def read_new(self, fitted: Scaler, new: NewData) -> Floats:
        """The variables of a series, ``[steps, variables]``, from a table."""
        from unrolled.data.series_files import read_steps, series_ending

        ending = ".csv" if new.path is None else series_ending(new.path)
        steps = read_steps(
            new.content(),
            new.name,
            ending,
            new.column or new.dataset.get("time"),
            fitted.inputs,
            new.dataset.get("missing", "refuse"),
        )
        if len(steps.values) < self.window:
            raise DataError(
                f"{new.name}: {len(steps.values)} steps are too few for a forecast: the model "
                f"reads {self.window}"
            )
        return steps.values

    def predict(
        self, fitted: Scaler, model: "RecurrentModel", inputs: Floats
    ) -> Iterator[Mapping[str, Any]]:
        """The steps that follow the series, a row each."""
        for step, values in enumerate(self.forecast(fitted, model, inputs).tolist(), 1):
            yield {"step": step, **dict(zip(fitted.targets, values, strict=True))}

    def forecast(self, fitted: Scaler, model: "RecurrentModel", values: Floats) -> Floats:
        """The targets of the steps that follow, in their own units: ``[horizon, targets]``.

        Args:
            values: a series of the variables ``fitted.inputs``, ``[steps, variables]``, of which
                the last window is read.

        Raises:
            DataError: it is shorter than a window, or has values that the task cannot read.
        """
        import torch

        if len(values) < self.window:
            raise DataError(
                f"{len(values)} steps are too few for a forecast: the model reads {self.window}"
            )
        history = values[-self.window :]
        if self.target == "growth":
            for target in fitted.targets:
                _require_positive(target, history[:, list(fitted.inputs).index(target)])
        inputs, level = self._inputs(fitted, history[None])
        model.eval()
        with torch.no_grad():
            hidden, _ = model(torch.from_numpy(inputs).transpose(0, 1))
            scores = model.head.scores(hidden)
        levels = np.broadcast_to(level, (1, self.horizon, level.shape[-1])).reshape(1, -1)
        head: Any = model.head
        predicted: Floats = head.predicted(scores, torch.tensor(levels)[:, None]).numpy()
        return predicted.reshape(self.horizon, -1)

    def relative(self, values: Floats, level: Floats) -> Floats:
        relative: Floats = np.log(values / level) if self.target == "growth" else values - level
        return relative

    def _starts(self, series: Series, split: str, begin: int, end: int) -> Starts:
        """Where the target of each window begins; the first ones lack a whole history."""
        starts = np.arange(max(begin, self.window), end - self.horizon + 1)
        if not len(starts):
            needs = self.horizon + (self.window if begin == 0 else 0)
            raise DataError(
                f"dataset={series.name}: the {split} split has {end - begin} steps, and a window "
                f"needs {needs}; lower task.horizon={self.horizon} or task.window={self.window}, "
                "or give the split a larger fraction"
            )
        return starts

    def _fit(self, series: Series, starts: Starts, end: int) -> Scaler:
        """What the training split, which ends before the step ``end``, says."""
        training, targets = series.values[:end], series.target_places
        require_varying(series.name, training[:, targets], series.targets)
        if series.season >= end:
            raise DataError(
                f"dataset.season={series.season}: the training split has {end} steps, which is no "
                "whole season"
            )
        mean, scale = spread(training, self.scaling)
        target_mean, target_scale = mean[targets], scale[targets]
        if self.target != "value":
            history, truth = self._cut(series, starts)
            last = history[:, -1:, targets]
            past, ahead = self.relative(history[..., targets], last), self.relative(truth, last)
            mean[targets], target_mean = 0.0, np.zeros(len(targets))
            scale[targets], target_scale = (
                spread(values.reshape(-1, len(targets)), self.scaling)[1]
                for values in (past, ahead)
            )
        season = series.season
        errors = np.abs(training[season:] - training[:-season]).mean(0)[targets]
        return Scaler(
            [*series.variables],
            [*series.targets],
            mean.tolist(),
            scale.tolist(),
            target_mean.tolist(),
            target_scale.tolist(),
            errors.tolist(),
            constant_columns(training, series.variables),
        )

    def _windows(self, series: Series, fitted: Scaler, starts: Starts) -> tuple[Any, Floats]:
        """Scaled histories ``[windows, window, variables]``, and targets for ``ScaledHead``."""
        history, truth = self._cut(series, starts)
        inputs, level = self._inputs(fitted, history)
        return inputs, beside_level(truth, level)

    def _inputs(self, fitted: Scaler, history: Floats) -> tuple[Any, Floats]:
        """Histories ``[windows, window, variables]`` as a model reads them, and the level that its
        predictions are relative to, ``[windows, 1, targets]``."""
        if self.target == "value":
            level = np.asarray(fitted.target_mean)
            return fitted.scaled(history), np.broadcast_to(level, (len(history), 1, len(level)))
        targets = [list(fitted.inputs).index(target) for target in fitted.targets]
        level, history = history[:, -1:, targets], history.copy()
        history[..., targets] = self.relative(history[..., targets], level)
        return fitted.scaled(history), level

    def _cut(self, series: Series, starts: Starts) -> tuple[Floats, Floats]:
        """Histories ``[windows, window, variables]`` and what came after them ``[windows, horizon,
        targets]``."""
        histories = sliding_window_view(series.values, self.window, axis=0)[starts - self.window]
        chosen = series.values[:, series.target_places]
        truth = sliding_window_view(chosen, self.horizon, axis=0)[starts]
        return histories.transpose(0, 2, 1), truth.transpose(0, 2, 1)


def _require_positive(target: str, values: Floats, name: str = "the data") -> None:
    """Refuse values that have no logarithm."""
    if (lowest := values.min()) <= 0:
        raise DataError(
            f"{name}: the target {target} is {lowest:g} somewhere, and task.target=growth needs "
            "values above 0; task.target=change does not"
        )


def forecasts(data: SeriesData, split: str, truth: Floats, predicted: Floats) -> dict[str, Figure]:
    """Forecasts laid end to end over a split, with the history before it, one figure a target."""
    if not np.array_equal(truth, data.truth(split)):
        # A debugging run evaluates other windows, or some of them.
        return {}
    series, starts = data.series, data.starts[split]
    first, step = series.axis()
    shown = min(SHOWN_STEPS, len(starts) + truth.shape[1] - 1)
    begin = int(starts[0])
    past = max(0, begin - max(shown, np.asarray(data.splits[split][0]).shape[1]))
    true, found = (_end_to_end(values)[:shown] for values in (truth, predicted))
    figures: dict[str, Figure] = {}
    for place, target in enumerate(series.targets[:SHOWN_TARGETS]):
        known = series.values[past:begin, series.target_places[place]]
        figures[f"forecast of {target}"] = Forecast(
            known.tolist(),
            true[:, place].tolist(),
            found[:, place].tolist(),
            f"{target} ({series.unit})" if series.unit not in ("", target) else target,
            first + step * past,
            step,
        )
    return figures


def _end_to_end(values: Floats) -> Floats:
    """Of all windows ``[windows, horizon, targets]`` those that follow one another without
    overlap, and the end of the last: ``[steps, targets]``."""
    windows, horizon, targets = values.shape
    whole = values[::horizon].reshape(-1, targets)
    rest = windows + horizon - 1 - len(whole)
    return np.concatenate([whole, values[-1][horizon - rest :]])
