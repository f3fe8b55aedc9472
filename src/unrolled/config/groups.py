"""Hydra, set up on the config groups: which there are, and which choices they have."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, cached_property
from pathlib import Path

from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.version import VersionBase, setbase
from omegaconf import DictConfig, OmegaConf
from yaml import MarkedYAMLError, YAMLError

from unrolled.config.hydra_choices import beside_ours
from unrolled.config.locations import config_directory, plugin_directories
from unrolled.config.overrides import choice_of
from unrolled.errors import ConfigError


class ConfigGroups:
    """The config groups and their choices; each question to Hydra costs 20 ms, so none is asked
    twice."""

    def __init__(self, hydra: Hydra) -> None:
        self.hydra = hydra
        self._options = cache(self._ask_options)

    @cached_property
    def names(self) -> list[str]:
        """Our groups, the person's own, and Hydra's, such as ``hydra/launcher``."""
        ours = self.hydra.config_loader.list_groups("")
        theirs = self.hydra.config_loader.list_groups("hydra")
        return [*ours, *(f"hydra/{group}" for group in theirs)]

    def options(self, group: str) -> list[str]:
        """The choices of a group."""
        return self._options(group)

    def parse(self, overrides: Sequence[str]) -> list[Override]:
        """Read overrides in Hydra's syntax.

        Raises:
            ConfigError: one cannot be read.
        """
        parser = OverridesParser.create(config_loader=self.hydra.config_loader)
        try:
            parsed = parser.parse_overrides(list(overrides))
        except HydraException as error:
            reason = str(error).splitlines()[0]
            raise ConfigError(
                f"cannot read an override: {reason}; write key=value, and a value with spaces, "
                "commas or letters beyond ASCII in quotes: 'key=\"value\"'"
            ) from error
        for override in parsed:
            if not override.key_or_group:
                raise ConfigError(f"{override.input_line}: there is no key before the =")
        return parsed

    def explain_file(self, error: YAMLError | OSError | UnicodeDecodeError) -> str:
        """Which line of which configuration file cannot be read, and why."""
        if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
            mark = error.problem_mark
            return f"{mark.name}, line {mark.line + 1}: {error.problem or error.context}"
        if isinstance(error, OSError):
            return f"{error.filename}: cannot be read ({error.strerror})"
        if isinstance(error, UnicodeDecodeError):
            return f"{self._first_not_utf8()}: not UTF-8 ({error.reason})"
        return f"{getattr(error, 'name', 'a file')}: {str(error).splitlines()[0]}"

    def _first_not_utf8(self) -> str:
        for place in self.hydra.config_loader.get_search_path().get_path():
            for path in sorted(Path((place.path or "").removeprefix("file://")).rglob("*.yaml")):
                try:
                    path.read_text(encoding="utf-8")
                except UnicodeDecodeError:
                    return str(path)
        return "a configuration file"

    def _ask_options(self, group: str) -> list[str]:
        options = self.hydra.config_loader.get_group_options(group)
        # The schemas of Hydra's plugins are choices to Hydra; only files refer to them.
        return sorted(option for option in options if not option.startswith("schema_"))


@contextmanager
def config_groups(config_dir: str | None = None) -> Iterator[ConfigGroups]:
    """Hydra on our config folders, before them the person's own, and behind them those of
    plug-ins.

    Raises:
        ConfigError: there is no such config folder.
    """
    OmegaConf.register_new_resolver("class_name", _class_name, replace=True)
    path = create_config_search_path(str(config_directory()))
    # Hydra wants the schemas last.
    behind = SearchPathQuery(provider="schema")
    path.prepend("unrolled", "experiments://", behind)
    for folder in plugin_directories():
        path.prepend("plug-in", f"file://{folder}", behind)
    if config_dir is not None:
        if not Path(config_dir).is_dir():
            raise ConfigError(f"--config-dir {config_dir}: no such folder")
        path.prepend("command-line", f"file://{Path(config_dir).resolve()}")
    with _hydra_as_before(), beside_ours(config_directory()):
        setbase("1.3")
        # What initialize_config_dir() does, which takes one folder and no more.
        GlobalHydra.instance().clear()
        yield ConfigGroups(Hydra.create_main_hydra2("unrolled", path))


@contextmanager
def _hydra_as_before() -> Iterator[None]:
    """Leave the program's own Hydra, if it has one, as it was."""
    hydra, base = GlobalHydra.instance().hydra, VersionBase.instance().version_base
    try:
        yield
    finally:
        GlobalHydra.instance().hydra = hydra
        VersionBase.instance().version_base = base


def _class_name(*, _parent_: DictConfig) -> str:
    """What a choice is called that names its class or function alone: as the choice that builds
    the same, or as the class."""
    target = str(_parent_._get_node("_target_"))
    return choice_of(str(_parent_._key()), target) or target.rpartition(".")[2]
