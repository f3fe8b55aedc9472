"""Lightning's trainer, as the configuration has it."""

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from omegaconf import DictConfig
from pytorch_lightning.callbacks import EarlyStopping
from pytorch_lightning.loggers import Logger
from pytorch_lightning.profilers import AdvancedProfiler, Profiler, SimpleProfiler

from unrolled.training.checkpoints import AtomicCheckpoints, BestCheckpoint
from unrolled.training.precision import Precision
from unrolled.training.schedules import Length
from unrolled.training.step_loop import StepLoop

PRECISIONS: dict[Precision, Any] = {"fp32": "32-true", "bf16": "bf16-mixed"}


def make_trainer(
    config: DictConfig,
    precision: Precision,
    folder: Path,
    length: Length,
    loggers: Sequence[Logger],
    callbacks: Sequence[pl.Callback],
) -> pl.Trainer:
    """A trainer that validates at ``length``'s interval, keeps the best checkpoint, and is
    silent."""
    options = config.trainer
    checkpoint = BestCheckpoint(folder, length.monitor, length.mode)
    everything = [*callbacks, checkpoint]
    if options.early_stopping_patience is not None:
        everything.append(
            EarlyStopping(
                length.monitor,
                patience=options.early_stopping_patience,
                mode=length.mode,
                # An evaluation may overflow early in training.
                check_finite=False,
            )
        )
    by_steps = options.validate_every_steps is not None
    trainer = pl.Trainer(
        default_root_dir=folder,
        accelerator="cpu" if options.accelerator == "cpu" else "cuda",
        devices=options.devices if options.strategy == "ddp" else 1,
        strategy="ddp" if options.strategy == "ddp" else "auto",
        precision=PRECISIONS[precision],
        max_steps=-1 if options.max_steps is None else options.max_steps,
        max_epochs=-1 if options.max_epochs is None else options.max_epochs,
        # By steps, the interval counts across epochs; otherwise each epoch ends with a validation.
        val_check_interval=length.validation_interval if by_steps else 1.0,
        check_val_every_n_epoch=None if by_steps else 1,
        limit_train_batches=options.limit_batches or 1.0,
        limit_val_batches=options.limit_batches or 1.0,
        limit_test_batches=options.limit_batches or 1.0,
        gradient_clip_val=options.gradient_clip,
        deterministic=options.deterministic,
        profiler=_profiler(options.profiler, folder),
        logger=list(loggers),
        callbacks=everything,
        # On a node of Slurm's, Lightning would take its tasks for the ranks; a job starts its own.
        plugins=[AtomicCheckpoints(), LightningEnvironment()],
        # The task logs when it has something to say, so nothing is to be thinned out.
        log_every_n_steps=1,
        num_sanity_val_steps=0,
        # Streams are shared out among the ranks by the data module; a sampler would shuffle them.
        use_distributed_sampler=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit_loop.epoch_loop = StepLoop(trainer, max_steps=trainer.max_steps)
    return trainer


def make_evaluator(config: DictConfig, precision: Precision) -> pl.Trainer:
    """A trainer that only evaluates, on one device."""
    options = config.trainer
    return pl.Trainer(
        accelerator="cpu" if options.accelerator == "cpu" else "cuda",
        devices=1,
        precision=PRECISIONS[precision],
        plugins=[LightningEnvironment()],
        limit_val_batches=options.limit_batches or 1.0,
        limit_test_batches=options.limit_batches or 1.0,
        deterministic=options.deterministic,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def _profiler(name: str | None, folder: Path) -> Profiler | None:
    """A profiler that leaves its table in the run's folder."""
    if name is None:
        return None
    kind = SimpleProfiler if name == "simple" else AdvancedProfiler
    return kind(dirpath=folder, filename="profile")


def silence_lightning() -> None:
    """Keep Lightning's notices of what the configuration says already out of the terminal."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # Batches are slices of a tensor in memory: worker processes would only slow them down.
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    warnings.filterwarnings("ignore", ".*exists and is not empty.*")
    # Each rank evaluates the whole split, so there is nothing to bring together.
    warnings.filterwarnings("ignore", ".*sync_dist=True.*")
    # A job starts its own ranks, on a node of Slurm's, too.
    warnings.filterwarnings("ignore", ".*`srun` command is available.*")
    warnings.filterwarnings("ignore", ".*isinstance.treespec, LeafSpec.*")
    # A data loader knows where to go on, by the data module's word and not by its own state.
    warnings.filterwarnings("ignore", ".*your dataloader is not resumable.*")
