"""TensorBoard and CSV, in the run's own folder, and trackers, going on where an interrupted run
stopped."""

import contextlib
import csv
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger
from pytorch_lightning.loggers.csv_logs import ExperimentWriter

from unrolled.runs.record import Record, look_up
from unrolled.training import logs
from unrolled.training.trackers.packages import chosen
from unrolled.training.trackers.tracker import Tracked, Tracker

# What the HParams page lists: the same keys for every run, so that one table holds a whole sweep.
HYPERPARAMETERS = (
    "cell.name",
    "seed",
    "dataset.name",
    "tokenizer.name",
    "model.embedding_size",
    "model.layers",
    "model.dropout",
    "model.tied_weights",
    "task.batch_size",
    "task.sequence_length",
    "optimizer.name",
    "optimizer.lr",
    "optimizer.weight_decay",
    "scheduler.name",
    "trainer.max_steps",
    "trainer.precision",
)
# TensorBoard orders its groups by name: this one comes behind the curves.
RESULTS = "values_at_best"


class Curves(CSVLogger):
    """``metrics.csv``, added to and never begun anew."""

    @property
    def experiment(self) -> "_Table":
        if self._experiment is None:
            self._experiment = _Table(self.log_dir)
        assert isinstance(self._experiment, _Table)
        return self._experiment


class _Table(ExperimentWriter):
    def __init__(self, folder: str) -> None:
        super().__init__(folder)
        path = Path(self.metrics_file_path)
        if path.is_file():
            with path.open(newline="", encoding="utf-8") as file:
                self.metrics_keys = next(csv.reader(file), [])

    def _check_log_dir_exists(self) -> None:
        """Lightning's would delete the table that is there."""

    def _rewrite_with_new_header(self, fieldnames: list[str]) -> None:
        # Lightning's empties the file first, and a run may be killed at any moment.
        path = Path(self.metrics_file_path)
        logs.write(path, logs.rows(path), fieldnames)


def make_loggers(
    config: DictConfig, folder: Path, step: int = 0, identity: str = ""
) -> list[Logger]:
    """The loggers that the configuration chose; TensorBoard and CSV write into ``folder`` itself.

    Args:
        identity: of the run, by which a tracker knows it again.
        step: to go on from; what TensorBoard has of later ones is from an attempt that was cut
            off, and it forgets it.
    """
    loggers: list[Logger] = []
    if config.logger.tensorboard:
        purge = step + 1 if step else None
        loggers.append(
            TensorBoardLogger(
                folder, name="", version="", default_hp_metric=False, purge_step=purge
            )
        )
    if config.logger.csv:
        loggers.append(Curves(folder, name="", version=""))
    # The same run may be a part of several studies.
    key = hashlib.sha256(f"{identity}\n{config.study}".encode()).hexdigest()[:32]
    outputs = Path(config.paths.outputs).expanduser()
    tracked = Tracked(key, folder.name, config.study, folder, step > 0, config.logger, outputs)
    for name in chosen(config):
        module = import_module(f"unrolled.training.trackers.{name}")
        loggers.append(getattr(module, name.capitalize())(tracked))
    return loggers


@contextlib.contextmanager
def tracking(loggers: Sequence[Logger], record: Record | None) -> Iterator[None]:
    """Tell trackers the configuration at the beginning and what became of the run at the end; the
    record says which of them failed."""
    trackers = [logger for logger in loggers if isinstance(logger, Tracker)]
    status = "failed"
    try:
        for tracker in trackers:
            assert record is not None
            if not tracker.tracked.continued:
                tracker.log_hyperparams(_flat(record.config) | {"identity": record.identity})
            # At once: a run that fails is listed, too, and a server that is not there is said.
            tracker.save()
        yield
        status = "finished"
    finally:
        for tracker in trackers:
            tracker.end(status)
        failures = {tracker.kind: tracker.failure for tracker in trackers if tracker.failure}
        if failures and record is not None:
            record.environment["tracker_failures"] = failures


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values by dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        inner = isinstance(value, Mapping)
        flat |= _flat(value, f"{prefix}{key}.") if inner else {f"{prefix}{key}": value}
    return flat


def flush(loggers: Sequence[Logger]) -> None:
    """Bring to the disk what was logged so far."""
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.flush()
        else:
            logger.save()


def log_hyperparameters(
    loggers: Sequence[Logger], record: Record, step: int, headline: Iterable[str]
) -> None:
    """Write what TensorBoard's HParams page lists: the hyperparameters, and the best checkpoint's
    metrics.

    The metrics have tags of their own: under a curve's tag the page would show the curve's last
    value, which is not the best checkpoint's.

    Args:
        headline: which metrics.
    """
    hyperparameters: dict[str, object] = {
        "parameters": record.model["parameters"],
        "hidden_size": record.model["hidden_size"],
    }
    fold = [] if record.config.get("fold") is None else ["fold"]
    # Runs are named by what a sweep varies, so that is a column too.
    for key in dict.fromkeys([*HYPERPARAMETERS, *fold, *record.config["name_by"]]):
        value = look_up(record, f"config.{key}")
        hyperparameters[key] = value.get("name") if isinstance(value, dict) else value
    metrics = {
        f"{RESULTS}/{split}_{name}": record.metrics[f"{split}/{name}"]
        for split in ("validation", "test")
        for name in headline
        if f"{split}/{name}" in record.metrics
    }
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.log_hyperparams(hyperparameters, metrics, step)
        elif isinstance(logger, Tracker):
            about = {"parameters": record.model["parameters"], "best_step": step}
            best = {f"best/{name}": value for name, value in record.metrics.items()}
            logger.log_final({**about, **best})
        logger.finalize("success")
