"""Where the config files are: beside the code in a checkout, inside the package when installed,
and in the packages of plug-ins."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unrolled.config.plugins import plugins

_PACKAGE = Path(__file__).resolve().parents[1]
# Where a copy is that is read in their place.
_frozen: Path | None = None


def config_directory() -> Path:
    """The folder with ``train.yaml`` and the config groups."""
    return _find("conf")


def experiments_directory() -> Path:
    """The folder with one folder per study."""
    return _find("experiments")


def plugin_directories() -> list[Path]:
    """The folders with the config groups of installed plug-ins."""
    if _frozen is not None:
        return sorted((_frozen / "plugins").iterdir())
    return [plugin.conf for plugin in plugins(config_directory(), experiments_directory())]


def choice_files(group: str) -> list[Path]:
    """The files of a config group, ours before those of plug-ins."""
    folders = [config_directory(), *plugin_directories()]
    return [path for folder in folders for path in sorted(folder.glob(f"{group}/*.yaml"))]


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
        (copy / "plugins").mkdir()
        for number, folder in enumerate(plugin_directories()):
            _copy_groups(folder, copy / "plugins" / f"{number:03}")
        if config_dir is not None:
            _copy_groups(Path(config_dir), copy / "own")
        _frozen = copy.resolve()
        yield str(copy / "own") if config_dir is not None else None
    finally:
        _frozen = None
        shutil.rmtree(copy, ignore_errors=True)


def _copy_groups(folder: Path, target: Path) -> None:
    """Copy config groups alone: a person's folder may have data and outputs beside them, and the
    target itself."""
    above = {parent.resolve() for parent in (target, *target.parents)}

    def unwanted(place: str, names: list[str]) -> list[str]:
        paths = {name: Path(place, name) for name in names}
        return [
            name
            for name, path in paths.items()
            if (path.is_dir() and (name.startswith(".") or path.resolve() in above))
            or (not path.is_dir() and path.suffix != ".yaml")
        ]

    shutil.copytree(folder, target, ignore=unwanted)


def _find(name: str) -> Path:
    if _frozen is not None:
        return _frozen / name
    installed = _PACKAGE / name
    return installed if installed.is_dir() else _PACKAGE.parents[1] / name
