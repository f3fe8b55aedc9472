"""What a process of a sweep does: it makes one run, whose failure is an outcome."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from unrolled.errors import BusyError, PausedError, PrunedError, StorageError, UnrolledError
from unrolled.runs.spec import RunSpec
from unrolled.tasks.build import describe_task
from unrolled.training.run import Outcome, make_run, specify

if TYPE_CHECKING:
    import pytorch_lightning as pl


def work(spec: RunSpec) -> Outcome:
    """Make one run of a sweep; its failure is returned, not raised, so that the others go on.

    Raises:
        KeyboardInterrupt: the run was stopped; its record says so.
    """
    return _outcome(lambda: spec)


def work_alone(spec: RunSpec) -> Outcome:
    """``work`` in a process of its own, whose interruption is no more than an outcome."""
    try:
        return work(spec)
    except KeyboardInterrupt as stop:
        # The record says so; a traceback from each would only bury the parent's message.
        return Outcome("interrupted", None, str(stop))


def work_on_config(config: DictConfig) -> Outcome:
    """``work`` for launchers that are not ours, which know a configuration and no spec."""
    return _outcome(lambda: specify(config))


def retries(config: DictConfig, *, swept: bool) -> bool:
    """Whether a run that failed before is made again: a sweep's when asked, a single one by
    default, since typing its command is asking."""
    return not swept if config.retry_failed is None else bool(config.retry_failed)


def _outcome(spec_of: Callable[[], RunSpec]) -> Outcome:
    try:
        spec = spec_of()
        retry = retries(spec.config, swept=True)
        return make_run(spec, retry=retry, callbacks=_callbacks(spec.config))
    except BusyError as error:
        return Outcome("busy", None, str(error))
    except PausedError as error:
        return Outcome("paused", None, str(error))
    except PrunedError as error:
        return Outcome("pruned", None, str(error))
    except StorageError as error:
        return Outcome("interrupted", None, str(error))
    except UnrolledError as error:
        return Outcome("failed", None, str(error))
    except Exception as error:  # noqa: BLE001 - the run's record has the traceback
        return Outcome("failed", None, f"{type(error).__name__}: {error}")


def _callbacks(config: DictConfig) -> "Callable[[], list[pl.Callback]]":
    """What a run calls for Optuna's search that it is a trial of; nothing where it is none's."""
    if config.trial.storage is None:
        return list

    def pruning() -> "list[pl.Callback]":
        from unrolled.sweeps.search.pruning import Pruning

        return [Pruning(config.trial, describe_task(config).monitor)]

    return pruning
