"""One run, from data to record: task, model, trainer, fit, test."""

import contextlib
import logging
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.utilities.exceptions import SIGTERMException

from unrolled.config.build import EVERYTHING, OURS, arguments_of, target_of
from unrolled.data.module import DataModule
from unrolled.models.build import build_model
from unrolled.runs.figures import to_plain
from unrolled.runs.record import Record
from unrolled.tasks.build import build_task, prepare_data
from unrolled.tasks.contract import require_contract
from unrolled.tasks.task import Data, Task
from unrolled.training import logs
from unrolled.training.allocator import keep_freed_memory
from unrolled.training.callbacks import RecordKeeper, StepPlateau, StopAtLength
from unrolled.training.checkpoints import (
    EXTRA,
    best_checkpoint,
    last_checkpoint,
    load_weights,
    read_content,
)
from unrolled.training.continuation import Continuation, place
from unrolled.training.devices import device_name, device_of, require_devices
from unrolled.training.diagnosing import diagnosing
from unrolled.training.environment import describe_environment
from unrolled.training.garbage import earlier_objects_left_out
from unrolled.training.loggers import log_hyperparameters, make_loggers, tracking
from unrolled.training.module import TaskModule
from unrolled.training.precision import Precision, resolved_precision
from unrolled.training.ranks import all_ranks
from unrolled.training.schedules import Length
from unrolled.training.stopping import StopRequest, signals_as_before
from unrolled.training.threads import threads_to_yield
from unrolled.training.trainer import make_trainer, silence_lightning

Callbacks = Callable[[], Sequence[pl.Callback]]

log = logging.getLogger(__name__)


def train(
    config: DictConfig,
    data: Data,
    record: Record,
    folder: Path,
    trusted: Iterable[str] = EVERYTHING,
    callbacks: Callbacks = list,
) -> None:
    """Fit, choose the best checkpoint by validation, test it once, and fill in the record.

    Where the folder has a checkpoint of the same run, it goes on from there.

    Args:
        trusted: prefixes of modules outside this package that the configuration may name.
        callbacks: makes what the run does besides, for whoever asked for it (a search).

    Raises:
        ConfigError: the task of somebody's own does not keep the contract.
        DeviceError: the machine lacks the device, the precision or the memory.
        BudgetError: the budget cannot be met.
        DivergedError: a loss was not finite.
        TimeLimitError: the run took longer than it may.
        PausedError: the run waits for the others of its search.
        KeyboardInterrupt: the person, or a scheduler, stopped the run.
    """
    require_devices(config.trainer)
    trusted = tuple(trusted)
    last = last_checkpoint(folder, record.identity)
    if last is None:
        logs.clear(folder, build_task(config.task, trusted).appended_files)
    else:
        at = {"step": last[1]["global_step"], "at": record.timing["started"]}
        record.timing["continued"] = [*record.timing.get("continued", []), at]
        logs.cut(folder, last[1][EXTRA]["logs"])
    world_size = config.trainer.devices if config.trainer.strategy == "ddp" else 1
    path = last[0] if last else None
    plan = FitPlan(OmegaConf.to_yaml(config), folder, record.identity, path, trusted)
    with all_ranks(world_size, _other_rank, plan):
        fit_and_test(plan, config, data, record, callbacks)


@dataclass(frozen=True)
class FitPlan:
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


def _other_rank(plan: FitPlan) -> None:
    """What every rank but the first does, in a process of its own."""
    config = OmegaConf.create(plan.config)
    assert isinstance(config, DictConfig)
    fit_and_test(plan, config, prepare_data(config, plan.trusted), None)


def fit_and_test(
    plan: FitPlan,
    config: DictConfig,
    data: Data,
    record: Record | None,
    further: Callbacks = list,
) -> None:
    """What each rank does; only the first has the record."""
    silence_lightning()
    content = read_content(plan.checkpoint) if plan.checkpoint else None
    set_threads(config, content)
    if config.trainer.accelerator == "cpu":
        keep_freed_memory()
    pl.seed_everything(config.seed, workers=True, verbose=False)
    task = build_task(config.task, plan.trusted)
    batches = make_batches(config, task, data)
    length = run_length(config, task, batches)
    module = make_module(config, task, data, length, plan.trusted)
    require_contract(task, data, module.model, batches)
    begun = content[EXTRA].get("precision") if content else None
    precision = resolved_precision(config.trainer, module.model, task.batch_size, begun)
    loggers = make_loggers(config, plan.folder, _step(content), plan.identity) if record else []
    limit = config.time_limit_minutes
    share = config.trial.until
    stop = StopRequest(
        None if limit is None else 60 * limit,
        None if share is None else length.validation_after(share),
    )
    callbacks: list[pl.Callback] = [StopAtLength(length.total_steps), StepPlateau()]
    keeper = None
    if record:
        describe(record, config, data, module, precision)
        record.timing["total_steps"] = length.total_steps
        keeper = RecordKeeper(record, plan.folder, length, device_name(config.trainer))
        callbacks += [keeper, *task.callbacks(data, plan.folder, config.seed), *further()]
        callbacks += diagnosing(config, length)
    # The last of them, so that it writes what the others are after a step.
    callbacks.append(
        Continuation(
            plan.folder,
            plan.identity,
            every_steps=config.trainer.checkpoint_every_steps,
            every_minutes=config.trainer.checkpoint_every_minutes,
            length=length,
            stop=stop,
            ask_every=config.trainer.log_every_steps,
            precision=precision,
            content=content,
        )
    )
    trainer = make_trainer(config, precision, plan.folder, length, loggers, callbacks)
    with tracking(loggers, record), signals_as_before():
        if content is not None and content[EXTRA]["done"]:
            # Only the test is missing. The counters say at which step it is.
            trainer.fit_loop.load_state_dict(content["loops"]["fit_loop"])
            if keeper:
                keeper.load_state_dict(content["callbacks"][keeper.state_key])
            stop.listen()
        else:
            if content is not None:
                batches.first_epoch, batches.first_batch = place(content)
            with earlier_objects_left_out():
                _fit(trainer, module, batches, plan.checkpoint)
        if record:
            # Diverged at the end, whatever an earlier validation was.
            module.require_finite("validation", record.history[-1])
        best = best_checkpoint(plan.folder)
        load_weights(module, best)
        with _interrupts(trainer):
            trainer.test(module, datamodule=batches, verbose=False)
        if record:
            record.best = next(entry for entry in record.history if entry["step"] == best.step)
            record.metrics = {
                **{k: v for k, v in record.best.items() if k.startswith("validation/")},
                **module.results["test"],
            }
            record.figures = {
                f"test/{name}": to_plain(figure) for name, figure in module.figures["test"].items()
            }
            log_hyperparameters(loggers, record, best.step, task.headline or (task.primary,))
            # Lightning's loggers write it, empty; config.yaml has what it would say.
            (plan.folder / "hparams.yaml").unlink(missing_ok=True)


def make_batches(config: DictConfig, task: Task, data: Data) -> DataModule:
    """The batches of each split."""
    return task.batches(data, seed=config.seed, overfit_batches=config.trainer.overfit_batches)


def run_length(config: DictConfig, task: Task, batches: DataModule) -> Length:
    """How many steps an epoch and the run have."""
    steps = batches.steps_per_epoch
    if config.trainer.limit_batches is not None:
        steps = min(steps, config.trainer.limit_batches)
    ends = [config.trainer.max_steps]
    if config.trainer.max_epochs is not None:
        ends.append(config.trainer.max_epochs * steps)
    total = min(end for end in ends if end is not None)
    interval = config.trainer.validate_every_steps or steps
    mode = task.describe().metric(task.monitor).direction
    return Length(steps, total, min(interval, total), task.monitor, mode)


def make_module(
    config: DictConfig,
    task: Task,
    data: Data,
    length: Length,
    trusted: Iterable[str] = OURS,
) -> TaskModule:
    """The LightningModule around the model that the configuration describes."""
    parts = task.parts(data.fitted, config.model)
    # Counted where a head asks for it, and once, however many widths a budget tries.
    parts = replace(parts, counts=cache(partial(task.token_counts, data)))
    model = build_model(config, parts, trusted)
    schedule = target_of(config.scheduler, trusted)
    return TaskModule(
        task,
        data,
        model,
        make_optimizer(config.optimizer, trusted),
        lambda optimizer: schedule(optimizer, length, **arguments_of(config.scheduler)),
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
    record: Record, config: DictConfig, data: Data, module: TaskModule, precision: Precision
) -> None:
    """Fill in what is known before the first step."""
    model, task = module.model, module.task
    device, half = device_of(config.trainer), precision == "bf16"
    record.environment = {**describe_environment(config), "device": device_name(config.trainer)}
    record.data = {"name": data.name, "fingerprint": data.fingerprint, **data.describe()}
    record.task = task.describe(data).to_dict()
    record.model = {
        "parameters": model.parameter_count(),
        "flops_per_token": model.flops_per_token(),
        "state_size": model.recurrence.state_size(),
        "embedding_size": model.encoder.output_size,
        "hidden_size": model.recurrence.hidden_size,
        "last_layer_size": config.model.last_layer_size,
        "layers": model.recurrence.layers,
        "backend": model.recurrence.backend_on(device, task.batch_size, half=half),
        "precision": precision,
        **model.head.describe(),
    }


def _step(content: dict[str, Any] | None) -> int:
    return int(content["global_step"]) if content else 0


def _fit(
    trainer: pl.Trainer, module: TaskModule, batches: DataModule, checkpoint: Path | None
) -> None:
    with _interrupts(trainer):
        trainer.fit(module, datamodule=batches, ckpt_path=checkpoint, weights_only=True)


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
