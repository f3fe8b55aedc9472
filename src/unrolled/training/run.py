"""One run, from data to record: model, task, trainer, fit, test."""

import signal
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf

from unrolled.config.build import EVERYTHING, OURS, arguments_of, target_of
from unrolled.data.module import TextDataModule
from unrolled.data.tokens import TokenizedCorpus
from unrolled.models.build import build_language_model
from unrolled.tasks.language_modeling import LanguageModeling
from unrolled.training.callbacks import RecordKeeper, Samples, StopAtLength
from unrolled.training.checkpoints import best_checkpoint, load_weights
from unrolled.training.devices import device_of, require_devices
from unrolled.training.environment import describe_environment
from unrolled.training.loggers import log_hyperparameters, make_loggers
from unrolled.training.prepare import prepare_data
from unrolled.training.ranks import all_ranks
from unrolled.training.record import Record
from unrolled.training.schedules import Length
from unrolled.training.trainer import make_trainer, quiet


def train(config: DictConfig, data: TokenizedCorpus, record: Record, folder: Path) -> None:
    """Fit, choose the best checkpoint by validation, test it once, and fill in the record.

    Raises:
        DeviceError: the machine lacks the device or the precision.
        BudgetError: the budget cannot be met.
        DivergedError: a loss was not finite.
        KeyboardInterrupt: the person stopped the run.
    """
    require_devices(config.trainer)
    world_size = config.trainer.devices if config.trainer.strategy == "ddp" else 1
    with all_ranks(world_size, _other_rank, OmegaConf.to_yaml(config), folder):
        fit_and_test(config, data, folder, record)


def _other_rank(text: str, folder: Path) -> None:
    """What every rank but the first does, in a process of its own."""
    config = OmegaConf.create(text)
    assert isinstance(config, DictConfig)
    fit_and_test(config, prepare_data(config), folder, None)


def fit_and_test(
    config: DictConfig, data: TokenizedCorpus, folder: Path, record: Record | None
) -> None:
    """What each rank does; only the first has the record."""
    quiet()
    set_threads(config)
    pl.seed_everything(config.seed, workers=True, verbose=False)
    batches = make_batches(config, data)
    length = run_length(config, batches)
    task = make_task(config, data, length, trusted=EVERYTHING)
    loggers = make_loggers(config, folder) if record else []
    callbacks: list[pl.Callback] = [StopAtLength(length.total_steps)]
    if record:
        describe(record, config, data, task)
        callbacks += [RecordKeeper(record, folder, length), Samples(config, data, folder)]
    trainer = make_trainer(config, folder, length, loggers, callbacks)
    _fit(trainer, task, batches)
    best = best_checkpoint(folder)
    load_weights(task, best)
    trainer.test(task, datamodule=batches, verbose=False)
    if record:
        record.best = next(entry for entry in record.history if entry["step"] == best.step)
        record.metrics = {
            **{k: v for k, v in record.best.items() if k.startswith("validation/")},
            **task.results["test"],
        }
        log_hyperparameters(loggers, record, best.step)
        # Lightning's loggers write it, empty; config.yaml has what it would say.
        (folder / "hparams.yaml").unlink(missing_ok=True)


def make_batches(config: DictConfig, data: TokenizedCorpus) -> TextDataModule:
    """The data module that the task's batching options describe."""
    return TextDataModule(
        data,
        batch_size=config.task.batch_size,
        sequence_length=config.task.sequence_length,
        evaluation_batch_size=config.task.evaluation_batch_size,
        evaluation_sequence_length=config.task.evaluation_sequence_length,
        overfit_batches=config.trainer.overfit_batches,
    )


def run_length(config: DictConfig, batches: TextDataModule) -> Length:
    """How many steps an epoch and the run have."""
    steps = batches.steps_per_epoch
    if config.trainer.limit_batches is not None:
        steps = min(steps, config.trainer.limit_batches)
    ends = [config.trainer.max_steps]
    if config.trainer.max_epochs is not None:
        ends.append(config.trainer.max_epochs * steps)
    total = min(end for end in ends if end is not None)
    interval = config.trainer.validate_every_steps or steps
    return Length(steps, total, min(interval, total), config.task.monitor)


def make_task(
    config: DictConfig,
    data: TokenizedCorpus,
    length: Length,
    trusted: Iterable[str] = OURS,
) -> LanguageModeling:
    """The LightningModule around the model that the configuration describes."""
    model = build_language_model(config, data.tokenizer.vocabulary_size, trusted)
    schedule = target_of(config.scheduler, trusted)
    return LanguageModeling(
        model,
        make_optimizer(config.optimizer, trusted),
        lambda optimizer: schedule(optimizer, length, **arguments_of(config.scheduler)),
        tokens_per_character={
            split: sizes["tokens"] / sizes["characters"] for split, sizes in data.sizes.items()
        },
        log_every_steps=config.trainer.log_every_steps,
    )


def make_optimizer(node: DictConfig, trusted: Iterable[str] = OURS) -> Any:
    """A function from parameters to the optimizer; fused where PyTorch has that, 2.4 to 2.8x as
    fast."""
    target = target_of(node, trusted)
    options = arguments_of(node, "name")
    if target in (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD):
        options["fused"] = True
    return partial(target, **options)


def set_threads(config: DictConfig) -> None:
    """As many threads as asked for; a sweep has set its own default before torch was imported."""
    if config.trainer.threads is not None:
        torch.set_num_threads(config.trainer.threads)


def describe(
    record: Record, config: DictConfig, data: TokenizedCorpus, task: LanguageModeling
) -> None:
    """Fill in what is known before the first step."""
    model = task.model
    record.environment = describe_environment()
    record.data = {
        "name": data.name,
        "fingerprint": data.fingerprint,
        "tokenizer": config.tokenizer.name,
        "vocabulary_size": data.tokenizer.vocabulary_size,
        "sizes": data.sizes,
        "unigram_perplexity": data.unigram_perplexity,
    }
    record.model = {
        "parameters": model.parameter_count(),
        "flops_per_token": model.flops_per_token(),
        "state_size": model.recurrence.state_size(),
        "embedding_size": model.embedding.embedding_dim,
        "hidden_size": model.recurrence.hidden_size,
        "layers": model.recurrence.layers,
        "backend": model.recurrence.backend_on(device_of(config.trainer), config.task.batch_size),
    }


def _fit(trainer: pl.Trainer, task: LanguageModeling, batches: TextDataModule) -> None:
    try:
        trainer.fit(task, datamodule=batches)
    except SystemExit as error:
        # Lightning ends the process after an interrupt, with the interrupt as the context.
        if isinstance(error.__context__, KeyboardInterrupt):
            # It also made the process deaf to a second Ctrl-C.
            signal.signal(signal.SIGINT, signal.default_int_handler)
            raise KeyboardInterrupt(f"stopped at step {trainer.global_step}") from error
        raise
