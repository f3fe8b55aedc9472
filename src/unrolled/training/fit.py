"""One run, from data to record: model, task, trainer, fit, test."""

import contextlib
import logging
import signal
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.utilities.exceptions import SIGTERMException

from unrolled.config.build import EVERYTHING, OURS, arguments_of, target_of
from unrolled.data.module import TextDataModule
from unrolled.data.tokens import TokenizedCorpus
from unrolled.models.build import build_language_model
from unrolled.runs.record import Record
from unrolled.tasks import language_modeling
from unrolled.tasks.language_modeling.task import LanguageModeling
from unrolled.training import logs
from unrolled.training.callbacks import RecordKeeper, Samples, StepPlateau, StopAtLength
from unrolled.training.checkpoints import (
    EXTRA,
    best_checkpoint,
    last_checkpoint,
    load_weights,
    read_content,
)
from unrolled.training.continuation import Continuation, place
from unrolled.training.devices import device_name, device_of, require_devices
from unrolled.training.environment import describe_environment
from unrolled.training.loggers import log_hyperparameters, make_loggers
from unrolled.training.prepare import prepare_data
from unrolled.training.ranks import all_ranks
from unrolled.training.schedules import Length
from unrolled.training.stopping import StopRequest, signals_as_before
from unrolled.training.threads import threads_to_yield
from unrolled.training.trainer import make_trainer, quiet

log = logging.getLogger(__name__)


def train(
    config: DictConfig,
    data: TokenizedCorpus,
    record: Record,
    folder: Path,
    trusted: Iterable[str] = EVERYTHING,
    callbacks: Callable[[], list[pl.Callback]] = list,
) -> None:
    """Fit, choose the best checkpoint by validation, test it once, and fill in the record.

    Where the folder has a checkpoint of the same run, it goes on from there.

    Args:
        trusted: prefixes of modules outside this package that the configuration may name.
        callbacks: makes what the first rank calls besides the run's own callbacks.

    Raises:
        DeviceError: the machine lacks the device or the precision.
        BudgetError: the budget cannot be met.
        DivergedError: a loss was not finite.
        TimeLimitError: the run took longer than it may.
        KeyboardInterrupt: the person, or a scheduler, stopped the run.
    """
    require_devices(config.trainer)
    last = last_checkpoint(folder, record.identity)
    if last is None:
        logs.clear(folder)
    else:
        at = {"step": last[1]["global_step"], "at": record.timing["started"]}
        record.timing["continued"] = [*record.timing.get("continued", []), at]
        logs.cut(folder, last[1][EXTRA]["logs"])
    world_size = config.trainer.devices if config.trainer.strategy == "ddp" else 1
    path = last[0] if last else None
    job = Job(OmegaConf.to_yaml(config), folder, record.identity, path, tuple(trusted))
    with all_ranks(world_size, _other_rank, job):
        fit_and_test(job, config, data, record, callbacks)


@dataclass(frozen=True)
class Job:
    """What every rank is told.

    Attributes:
        config: as YAML.
        checkpoint: to go on from.
    """

    config: str
    folder: Path
    identity: str
    checkpoint: Path | None
    trusted: tuple[str, ...]


def _other_rank(job: Job) -> None:
    """What every rank but the first does, in a process of its own."""
    config = OmegaConf.create(job.config)
    assert isinstance(config, DictConfig)
    fit_and_test(job, config, prepare_data(config, job.trusted), None)


def fit_and_test(
    job: Job,
    config: DictConfig,
    data: TokenizedCorpus,
    record: Record | None,
    more_callbacks: Callable[[], list[pl.Callback]] = list,
) -> None:
    """What each rank does; only the first has the record."""
    quiet()
    content = read_content(job.checkpoint) if job.checkpoint else None
    set_threads(config, content)
    pl.seed_everything(config.seed, workers=True, verbose=False)
    batches = make_batches(config, data)
    length = run_length(config, batches)
    task = make_task(config, data, length, job.trusted)
    loggers = make_loggers(config, job.folder, _step(content)) if record else []
    limit = config.time_limit_minutes
    stop = StopRequest(None if limit is None else 60 * limit)
    device = device_name(config.trainer)
    keeper = RecordKeeper(record, job.folder, length, device) if record else None
    callbacks: list[pl.Callback] = [StopAtLength(length.total_steps), StepPlateau()]
    if record and keeper:
        describe(record, config, data, task)
        callbacks += [keeper, Samples(config, data, job.folder), *more_callbacks()]
    # The last of them, so that it writes what the others are after a step.
    callbacks.append(
        Continuation(
            job.folder,
            job.identity,
            every_steps=config.trainer.checkpoint_every_steps,
            every_minutes=config.trainer.checkpoint_every_minutes,
            length=length,
            stop=stop,
            ask_every=config.trainer.log_every_steps,
            content=content,
        )
    )
    trainer = make_trainer(config, job.folder, length, loggers, callbacks)
    with signals_as_before():
        if content is not None and content[EXTRA]["done"]:
            # Only the test is missing. The counters say at which step it is.
            trainer.fit_loop.load_state_dict(content["loops"]["fit_loop"])
            if keeper:
                keeper.load_state_dict(content["callbacks"][keeper.state_key])
            stop.listen()
        else:
            batches.first_batch = place(content) if content is not None else 0
            _fit(trainer, task, batches, job.checkpoint)
        best = best_checkpoint(job.folder)
        load_weights(task, best)
        with _interrupts(trainer):
            trainer.test(task, datamodule=batches, verbose=False)
    if record:
        record.best = next(entry for entry in record.history if entry["step"] == best.step)
        record.metrics = {
            **{k: v for k, v in record.best.items() if k.startswith("validation/")},
            **task.results["test"],
        }
        log_hyperparameters(loggers, record, best.step)
        # Lightning's loggers write it, empty; config.yaml has what it would say.
        (job.folder / "hparams.yaml").unlink(missing_ok=True)


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


def set_threads(config: DictConfig, content: dict[str, Any] | None = None) -> None:
    """As many threads as asked for, or as the run had before it was cut off: the order of a sum
    decides its last digits. A sweep has set its own default before torch was imported; a single
    run leaves busy cores to others."""
    threads = config.trainer.threads or (content and content[EXTRA]["threads"])
    # The ranks of a run begin at the same time, and would yield to one another.
    if not threads and config.trainer.strategy != "ddp" and (threads := threads_to_yield()):
        threads = min(threads, torch.get_num_threads())
        log.warning("other processes keep cores busy: training with trainer.threads=%d", threads)
    if threads:
        torch.set_num_threads(threads)


def describe(
    record: Record, config: DictConfig, data: TokenizedCorpus, task: LanguageModeling
) -> None:
    """Fill in what is known before the first step."""
    model = task.model
    record.environment = {**describe_environment(), "device": device_name(config.trainer)}
    record.data = {
        "name": data.name,
        "fingerprint": data.fingerprint,
        "tokenizer": config.tokenizer.name,
        "vocabulary_size": data.tokenizer.vocabulary_size,
        "sizes": data.sizes,
        "unigram_perplexity": data.unigram_perplexity,
    }
    record.task = language_modeling.describe(record.data).to_dict()
    record.model = {
        "parameters": model.parameter_count(),
        "flops_per_token": model.flops_per_token(),
        "state_size": model.recurrence.state_size(),
        "embedding_size": model.embedding.embedding_dim,
        "hidden_size": model.recurrence.hidden_size,
        "layers": model.recurrence.layers,
        "backend": model.recurrence.backend_on(device_of(config.trainer), config.task.batch_size),
    }


def _step(content: dict[str, Any] | None) -> int:
    return int(content["global_step"]) if content else 0


def _fit(
    trainer: pl.Trainer, task: LanguageModeling, batches: TextDataModule, checkpoint: Path | None
) -> None:
    with _interrupts(trainer):
        trainer.fit(task, datamodule=batches, ckpt_path=checkpoint, weights_only=True)


@contextlib.contextmanager
def _interrupts(trainer: pl.Trainer) -> Iterator[None]:
    """Lightning ends the process after an interrupt, with the interrupt as the context; a run is
    ended by its caller."""
    try:
        yield
    except SystemExit as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            # It also made the process deaf to a second Ctrl-C.
            signal.signal(signal.SIGINT, signal.default_int_handler)
            said = str(error.__context__) or f"stopped at step {trainer.global_step}"
            raise KeyboardInterrupt(said) from error
        if isinstance(error, SIGTERMException):
            # SIGTERM before the first step, while the handler is still Lightning's.
            raise KeyboardInterrupt(f"stopped at step {trainer.global_step}") from error
        raise
