"""What each job of a sweep does, under any launcher."""

from omegaconf import DictConfig

from unrolled.config.compose import run_config
from unrolled.errors import BusyError, PrunedError, StorageError, UnrolledError
from unrolled.training.run import Outcome, run


def job(config: DictConfig) -> Outcome:
    """Make one run of a sweep; its failure is told, not raised, so that the others go on.

    Raises:
        KeyboardInterrupt: the run was stopped; its record says so.
    """
    try:
        # One of Hydra's own launchers hands over what it composed.
        config = run_config(config)
        return run(config, retry=bool(config.retry_failed))
    except BusyError as error:
        return Outcome("busy", None, str(error))
    except PrunedError as error:
        return Outcome("pruned", None, f"{label(config)}: {error}")
    except StorageError as error:
        return Outcome("interrupted", None, f"{label(config)}: {error}")
    except UnrolledError as error:
        return Outcome("failed", None, f"{label(config)}: {error}")
    except Exception as error:  # noqa: BLE001 - the run's record has the traceback
        return Outcome("failed", None, f"{label(config)}: {type(error).__name__}: {error}")


def label(config: DictConfig) -> str:
    """Which job a message is about, where no run's name is known yet."""
    return f"{config.cell.name}, seed {config.seed}"
