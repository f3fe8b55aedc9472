"""Where a search is stored, and which pruner it has.

Optuna is imported where it is used, and only there.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unrolled.errors import ConfigError
from unrolled.runs.locks import hold

if TYPE_CHECKING:
    import optuna

# Where a search is stored in its study's folder by default.
JOURNAL = "search.journal"
# The user attribute of Optuna's study that says how it prunes.
PRUNER = "pruner"
# Another process may be writing a line of the journal.
JOURNAL_TIMEOUT_SECONDS = 60.0


def make_pruner(chosen: Mapping[str, Any] | None) -> "optuna.pruners.BasePruner":
    """A pruner from its name and numbers, as a search keeps them."""
    import optuna

    if chosen is None:
        return optuna.pruners.NopPruner()
    kinds: dict[str, Callable[..., optuna.pruners.BasePruner]] = {
        "median": optuna.pruners.MedianPruner,
        "successive_halving": optuna.pruners.SuccessiveHalvingPruner,
        "hyperband": optuna.pruners.HyperbandPruner,
    }
    numbers = {key: value for key, value in chosen.items() if key != "name"}
    with quiet():
        return kinds[chosen["name"]](**numbers)


def open_storage(where: str) -> "optuna.storages.BaseStorage":
    """The storage of a search: a database's URL, or the path of a journal, which is made.

    Raises:
        ConfigError: it cannot be opened, is of another version, or is something else.
    """
    import optuna
    from optuna.storages.journal import JournalFileBackend, JournalStorage
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with quiet():
            if "://" in where:
                return optuna.storages.RDBStorage(where)
            path = Path(where)
            path.parent.mkdir(parents=True, exist_ok=True)
            with _lock(path):
                _mend(path)
            # Optuna's own locks are files, which a killed process leaves behind.
            lock = _JournalLock(path)
            return JournalStorage(JournalFileBackend(where, lock_obj=lock))  # type: ignore[arg-type]
    except (
        # What a journal of something else can be taken for, line by line.
        *(ValueError, LookupError, TypeError, AssertionError, AttributeError),
        *(OSError, RuntimeError, ImportError, SQLAlchemyError),
    ) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ConfigError(
            f"hydra.sweeper.storage={where}: not the storage of a search that this version of "
            f"Optuna ({optuna.__version__}) reads ({reason}); name another, or another study"
        ) from error


def _mend(path: Path) -> None:
    """Cut off half a line that a full disk left, which would spoil the next one."""
    if not path.is_file():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole and not isinstance(json.loads(content[: content.index(b"\n")]), dict):
        raise ValueError("no journal of a search")
    if content and not whole:
        raise ValueError("no journal of a search")
    if whole < len(content):
        with path.open("r+b") as file:
            file.truncate(whole)


def _lock(path: Path) -> AbstractContextManager[None]:
    return hold(path.with_name(f".{path.name}.lock"), str(path), JOURNAL_TIMEOUT_SECONDS)


class _JournalLock:
    """Optuna's journal under a lock that the system releases when its holder is killed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.held: AbstractContextManager[None] | None = None

    def acquire(self) -> bool:
        """Wait for the lock."""
        self.held = _lock(self.path)
        self.held.__enter__()
        return True

    def release(self) -> None:
        """Release it."""
        assert self.held is not None
        self.held.__exit__(None, None, None)
        self.held = None


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Optuna's notices out of the terminal; what matters is reported by the sweep."""
    import warnings

    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield
