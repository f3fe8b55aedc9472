"""Where the config files are: beside the code in a checkout, inside the package when installed."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
# Where a copy is that is read in their place.
_frozen: Path | None = None


def config_directory() -> Path:
    """The folder with ``train.yaml`` and the config groups."""
    return _find("conf")


def experiments_directory() -> Path:
    """The folder with one folder per study."""
    return _find("experiments")


@contextmanager
def frozen(copy: Path, config_dir: str | None = None) -> Iterator[str | None]:
    """Read a copy of all configuration files for the time of the block, so that whoever edits one
    meanwhile changes the next sweep and not this one.

    Args:
        copy: a folder that is not there yet, and will not be afterwards.
        config_dir: the person's own config folder, if they have one.

    Yields:
        The copy of the person's own folder.
    """
    global _frozen
    try:
        shutil.copytree(config_directory(), copy / "conf")
        for path in experiments_directory().glob("*/config.yaml"):
            target = copy / "experiments" / path.parent.name / path.name
            target.parent.mkdir(parents=True)
            shutil.copy(path, target)
        if config_dir is not None:
            shutil.copytree(config_dir, copy / "own")
        _frozen = copy.resolve()
        yield str(copy / "own") if config_dir is not None else None
    finally:
        _frozen = None
        shutil.rmtree(copy, ignore_errors=True)


def _find(name: str) -> Path:
    if _frozen is not None:
        return _frozen / name
    installed = _PACKAGE / name
    return installed if installed.is_dir() else _PACKAGE.parents[1] / name
