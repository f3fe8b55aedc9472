"""Packages that add cells, tasks and data sets by name: the entry points ``unrolled.plugins``.

An entry point names a package, and the folder ``conf`` in that package has config groups as ours
are: ``conf/cell/leaky.yaml`` is the choice ``cell=leaky``. Finding them reads metadata and lists
files; no code of a plug-in runs before a configuration names it.
"""

import logging
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unrolled.config.sources import find_source

if TYPE_CHECKING:
    from importlib.metadata import Distribution

GROUP = "unrolled.plugins"
FOLDER = "conf"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plugin:
    """What an installed package declares.

    Attributes:
        name: of the entry point.
        package: the importable package that it names.
        distribution: what the package was installed as.
        version: of the distribution.
        conf: the folder with its config groups.
    """

    name: str
    package: str
    distribution: str
    version: str
    conf: Path

    def __str__(self) -> str:
        return f"the plug-in {self.name} ({self.distribution} {self.version})"

    @property
    def choices(self) -> set[str]:
        """What it adds, such as ``cell/leaky``."""
        found = self.conf.rglob("*.yaml")
        return {path.relative_to(self.conf).with_suffix("").as_posix() for path in found}


class PluginError(Exception):
    """Why a plug-in is left out."""


def plugins(conf: Path, experiments: Path) -> list[Plugin]:
    """The installed plug-ins, in the order of their names. One that cannot be used is left out
    with a warning, which is given once.

    Args:
        conf: our own config groups, whose names no plug-in may have.
        experiments: our own studies, likewise.
    """
    return [*_plugins(conf, experiments, tuple(sys.path))]


def plugin_of(module: str) -> Plugin | None:
    """The plug-in that a module belongs to, if any; also one that is left out."""
    top = module.partition(".")[0]
    return next((p for p in declared() if p.package.partition(".")[0] == top), None)


def declared() -> Iterator[Plugin]:
    """What installed packages declare and have, whether or not it can be used."""
    for distribution, name, package in _entry_points():
        try:
            yield _find(distribution, name, package)
        except PluginError:
            continue


@cache
def _plugins(conf: Path, experiments: Path, searched: tuple[str, ...]) -> tuple[Plugin, ...]:
    found = []
    for distribution, name, package in _entry_points(warn=True):
        try:
            plugin = _find(distribution, name, package)
            _require_new_names(plugin, conf, experiments)
            found.append(plugin)
        except PluginError as error:
            named = f"{name} ({distribution.metadata['Name']} {distribution.version})"
            log.warning("unrolled: the plug-in %s is left out: %s", named, error)
    taken = Counter(choice for plugin in found for choice in plugin.choices)
    alone = []
    for plugin in sorted(found, key=lambda one: (one.name, one.distribution)):
        if shared := sorted(choice for choice in plugin.choices if taken[choice] > 1):
            others = [str(p) for p in found if p is not plugin and shared[0] in p.choices]
            log.warning(
                "unrolled: %s is left out: %s is also in %s; uninstall one of them",
                plugin,
                _written(shared[0]),
                " and ".join(others),
            )
        else:
            alone.append(plugin)
    return tuple(alone)


def _entry_points(*, warn: bool = False) -> "Iterator[tuple[Distribution, str, str]]":
    """The distribution, the name and the value of every entry point of ours."""
    seen = set()
    for metadata in _metadata_folders():
        try:
            # Most have none; only those that have are parsed, which costs a hundred times as much.
            if f"[{GROUP}]".encode() not in (metadata / "entry_points.txt").read_bytes():
                continue
            # Completion in a shell waits for this, and mostly does not need it.
            from importlib.metadata import PathDistribution

            distribution = PathDistribution(metadata)
            if (owner := distribution.metadata["Name"]) in seen:
                # Installed twice: Python imports the first.
                continue
            seen.add(owner)
            points = [e for e in distribution.entry_points if e.group == GROUP]
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            # It has none, is a file as old installers wrote it, or is not for us.
            continue
        except (ValueError, TypeError, OSError) as error:
            if warn:
                log.warning("unrolled: %s: its entry points cannot be read (%s)", metadata, error)
            continue
        yield from ((distribution, point.name, point.value) for point in points)


def _metadata_folders() -> Iterator[Path]:
    """Where installers write what they know of a package, in the order in which Python looks."""
    endings = (".dist-info", "egg-info")
    for place in map(Path, sys.path):
        try:
            yield from sorted(p for p in place.iterdir() if p.name.lower().endswith(endings))
        except OSError:
            # No folder, such as an archive, or one that is not for us: Python passes it over, too.
            continue


def _find(distribution: "Distribution", name: str, package: str) -> Plugin:
    """The plug-in that an entry point declares.

    Raises:
        PluginError: there is no such package, or no ``conf`` in it.
    """
    if not all(part.isidentifier() for part in package.split(".")):
        raise PluginError(f"its entry point is {package}, and the name of a package is needed")
    if package.partition(".")[0] == "unrolled":
        raise PluginError(f"{package} is Unrolled's own; a plug-in is a package of its own")
    source = find_source(package)
    if source is None or source.name != "__init__.py":
        raise PluginError(f"there is no package {package}; is it installed in full?")
    conf = source.parent / FOLDER
    if not conf.is_dir():
        raise PluginError(f"{source.parent} has no folder {FOLDER} with config groups")
    owner, version = distribution.metadata["Name"], distribution.version
    return Plugin(name, package, owner, version, conf)


def _require_new_names(plugin: Plugin, conf: Path, experiments: Path) -> None:
    """Refuse a plug-in with a choice that there is without it.

    Raises:
        PluginError: which one.
    """
    for choice in sorted(plugin.choices):
        group, _, name = choice.partition("/")
        there = (conf / f"{choice}.yaml").is_file()
        if group == "experiment":
            there = there or (experiments / name / "config.yaml").is_file()
        elif group == "hydra":
            there = there or _is_hydra_s(choice)
        if there:
            raise PluginError(f"there is {_written(choice)} already; rename {choice}.yaml")


def _is_hydra_s(choice: str) -> bool:
    """Whether Hydra, or a plug-in of Hydra's, has a choice such as ``hydra/launcher/basic``."""
    from hydra.core.config_store import ConfigStore
    from hydra.core.plugins import Plugins

    # They register their choices when they are found.
    Plugins.instance()
    node: Any = ConfigStore.instance().repo
    for part in f"{choice}.yaml".split("/"):
        node = node.get(part, {})
    source = find_source("hydra")
    packaged = source is not None and (source.parent / "conf" / f"{choice}.yaml").is_file()
    return bool(node) or packaged


def _written(choice: str) -> str:
    """A choice as it is typed."""
    group, _, name = choice.rpartition("/")
    return f"{group}={name}" if group else name
