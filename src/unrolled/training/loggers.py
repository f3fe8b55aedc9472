"""TensorBoard and CSV, in the run's own folder."""

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig
from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger

from unrolled.training.record import Record

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
RESULTS = ("perplexity", "bits_per_character", "accuracy", "f1_macro")


def make_loggers(config: DictConfig, folder: Path) -> list[Logger]:
    """The loggers that the configuration chose, writing into ``folder`` itself."""
    loggers: list[Logger] = []
    if config.logger.tensorboard:
        loggers.append(TensorBoardLogger(folder, name="", version="", default_hp_metric=False))
    if config.logger.csv:
        loggers.append(CSVLogger(folder, name="", version=""))
    return loggers


def log_hyperparameters(loggers: Sequence[Logger], record: Record, step: int) -> None:
    """Write what TensorBoard's HParams page lists: the hyperparameters, and the best checkpoint's
    metrics.

    The metrics have tags of their own (``best/…``): under a curve's tag the page would show the
    curve's last value, which is not the best checkpoint's.
    """
    hyperparameters: dict[str, object] = {
        "parameters": record.model["parameters"],
        "hidden_size": record.model["hidden_size"],
    }
    # Runs are named by what a sweep varies, so that is a column too.
    for key in dict.fromkeys([*HYPERPARAMETERS, *record.config["name_by"]]):
        value: object = record.config
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        hyperparameters[key] = value.get("name") if isinstance(value, dict) else value
    metrics = {
        f"best/{split}_{name}": record.metrics[f"{split}/{name}"]
        for split in ("validation", "test")
        for name in RESULTS
        if f"{split}/{name}" in record.metrics
    }
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.log_hyperparams(hyperparameters, metrics, step)
        logger.finalize("success")
