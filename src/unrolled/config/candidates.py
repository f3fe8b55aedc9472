"""What may stand in an override, for completion in a shell: keys, choices and values.

Answers must come while a person types, and Hydra takes a second to compose; so this reads the
files of the config groups that are chosen, and the source of the classes that they name.
"""

from collections.abc import Iterator, Sequence
from dataclasses import is_dataclass
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Any, get_args, get_origin

import yaml

from unrolled.config.locations import (
    config_directory,
    experiments_directory,
    plugin_directories,
)
from unrolled.config.schema import BUILT, Config
from unrolled.config.signatures import read_signature, signature_of
from unrolled.errors import ConfigError

# Groups whose choices Hydra has, too.
HYDRA_S = {"hydra/launcher": "basic", "hydra/sweeper": "basic"}
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Candidates:
    """Completes overrides of ``unrolled train``.

    Args:
        words: the overrides that are typed already; what they choose decides which keys there are.
        config_dir: a folder of config groups of the person's own.
    """

    def __init__(self, words: Sequence[str] = (), config_dir: str | None = None) -> None:
        own = [Path(config_dir)] if config_dir is not None else []
        self.folders = [*own, config_directory(), *plugin_directories()]
        self.typed = dict(word.lstrip("+~").partition("=")[::2] for word in words if "=" in word)

    def complete(self, word: str) -> list[str]:
        """All that the last word of a command line may become; what ends with ``=`` or ``.`` goes
        on."""
        plus = word[: len(word) - len(word.lstrip("+~"))]
        name, equals, value = word[len(plus) :].partition("=")
        if not equals:
            return [plus + one for one in next_steps(self.names(bool(plus)), name)]
        # Of a sweep's values the last.
        head, comma, last = value.rpartition(",")
        given = {*head.split(",")} if comma else set()
        fitting = [one for one in self.values(name) if one.startswith(last) and one not in given]
        return [f"{plus}{name}={head}{comma}{one}" for one in fitting]

    def names(self, added: bool = False) -> list[str]:
        """Every group and every key with ``=`` behind it.

        Args:
            added: those that a ``+`` adds: options of a class of one's own that its choice does
                not list.
        """
        if added:
            return [f"{group}.{key}=" for group in BUILT for key in self._unlisted(group)]
        return sorted([*(f"{group}=" for group in self.groups), *(f"{k}=" for k in self.keys())])

    def values(self, name: str) -> list[str]:
        """What a group or a key may be set to, as far as that is a choice among few."""
        if name in self.groups:
            return self.options(name)
        return words_of(self.annotation(name))

    @cached_property
    def groups(self) -> list[str]:
        """The config groups, such as ``cell`` and ``hydra/launcher``."""
        files = [path for folder in self.folders for path in folder.glob("*/*.yaml")]
        files += [path for folder in self.folders for path in folder.glob("hydra/*/*.yaml")]
        found = {path.parent.name for path in files if path.parent.parent.name != "hydra"}
        inner = {
            f"hydra/{path.parent.name}" for path in files if path.parent.parent.name == "hydra"
        }
        return sorted((found - {"hydra"}) | inner | {"experiment"})

    def options(self, group: str) -> list[str]:
        """The choices of a group."""
        found = {path.stem for path in self._files(f"{group}/*.yaml")}
        if group == "experiment":
            found |= {path.parent.name for path in experiments_directory().glob("*/config.yaml")}
        return sorted(found | ({HYDRA_S[group]} if group in HYDRA_S else set()))

    @cached_property
    def chosen(self) -> dict[str, list[str]]:
        """The choices of each group that are in force: of a sweep's several."""
        chosen = {group: self._typed_choices(group) for group in self.groups}
        chosen = {group: choices for group, choices in chosen.items() if choices}
        for group in BUILT:
            if self.typed.get(f"{group}._target_"):
                chosen.setdefault(group, ["custom"])
        primary = self._read("train.yaml")
        # What is asked for by an experiment goes before what its task asks for, and so on.
        for group in ("experiment", "task", "dataset"):
            for choice in chosen.get(group) or _chosen_by(primary).get(group, []):
                own = self._experiment(choice) if group == "experiment" else {}
                chosen = _chosen_by(own or self._read(f"{group}/{choice}.yaml")) | chosen
        return _chosen_by(primary) | chosen

    def keys(self) -> list[str]:
        """Every dotted key of the choices in force."""
        top = self._read("train.yaml")
        found = {*_dotted({key: top.get(key) for key in signature_of(Config).parameters})}
        for group in self.groups:
            prefix = group.replace("/", ".")
            found |= {f"{prefix}.{key}" for key in _dotted(self._node(group))}
        return sorted(found.difference(self.groups))

    def annotation(self, key: str) -> Any:
        """The type of a key; ``Any`` where it is not known."""
        group, _, name = key.partition(".")
        annotation: Any = signature_of(Config).parameters.get(group, Any)
        if group in BUILT:
            return {**self._parameters(group), **_common(group)}.get(name, Any)
        if name and is_dataclass(annotation) and isinstance(annotation, type):
            return signature_of(annotation).parameters.get(name, Any)
        return Any if name else annotation

    def _unlisted(self, group: str) -> list[str]:
        """The options of a class that are not in its choice's file."""
        there = {*self._node(group), *_common(group)}
        return [key for key in self._parameters(group) if key not in there]

    def _parameters(self, group: str) -> dict[str, Any]:
        """What the constructors of the classes in force take."""
        target = self.typed.get(f"{group}._target_") or ""
        targets = target.split(",") if target else self._targets(group)
        found: dict[str, Any] = {}
        for one in targets:
            try:
                signature = read_signature(one)
            except ConfigError:
                # A file that is no Python is refused when the command runs.
                continue
            if signature is not None:
                found |= signature.without_first(BUILT[group].given).parameters
        return found

    def _targets(self, group: str) -> list[str]:
        nodes = [self._merged(group, choice) for choice in self.chosen.get(group, [])]
        return [str(node["_target_"]) for node in nodes if node.get("_target_")]

    def _node(self, group: str) -> dict[str, Any]:
        """The keys of the choices of a group that are in force."""
        if group == "experiment":
            return {}
        # What each of several choices of a group leaves as it is.
        node = dict(self._read(f"{group}_defaults.yaml"))
        for choice in self.chosen.get(group, []):
            node |= self._merged(group, choice)
        return node

    def _merged(self, group: str, choice: str) -> dict[str, Any]:
        """The keys of a choice, and of the choices of its group that it begins from."""
        content = self._read(f"{group}/{choice}.yaml")
        merged: dict[str, Any] = {}
        for entry in content.pop("defaults", []):
            if isinstance(entry, str) and entry not in ("_self_", choice):
                merged |= self._merged(group, entry)
        return merged | content

    def _typed_choices(self, group: str) -> list[str]:
        value = self.typed.get(group, "")
        return [choice.strip("'\" ") for choice in value.split(",") if choice.strip("'\" ")]

    def _experiment(self, name: str) -> dict[str, Any]:
        """A study's keys; its defaults list begins with those of the study that it begins from."""
        content = _content(experiments_directory() / name / "config.yaml")
        own = content.get("defaults", [])
        begun = [entry for entry in own if isinstance(entry, str) and entry != "_self_"]
        inherited = [one for entry in begun for one in self._experiment(entry).get("defaults", [])]
        return content | {"defaults": [*inherited, *own]} if inherited else content

    def _files(self, pattern: str) -> Iterator[Path]:
        return (path for folder in self.folders for path in folder.glob(pattern))

    def _read(self, name: str) -> dict[str, Any]:
        """The first file of this name, as Hydra would take it."""
        paths = (folder / name for folder in self.folders)
        return next((_content(path) for path in paths if path.is_file()), {})


def words_of(annotation: Any) -> list[str]:
    """The words that a type allows, where they are few: of a Literal, an Enum, or for truth."""
    if annotation is bool:
        return ["true", "false"]
    if get_origin(annotation) is not None and (members := get_args(annotation)):
        if all(isinstance(one, str) for one in members):
            return [str(one) for one in members]
        words = [word for one in members for word in words_of(one)]
        return [*words, "null"] if words and type(None) in members else words
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return [*annotation.__members__]
    return []


def next_steps(names: Sequence[str], typed: str) -> list[str]:
    """The names that begin so, each up to its next dot: a few, not all."""
    found: dict[str, None] = {}
    for name in names:
        if name.startswith(typed):
            dot = name.find(".", len(typed))
            found[name if dot < 0 else name[: dot + 1]] = None
    return [*found]


def _chosen_by(content: dict[str, Any]) -> dict[str, list[str]]:
    """The choices of a defaults list, by their groups."""
    return {
        str(key).removeprefix("override ").partition("@")[0].lstrip("/"): [str(choice)]
        for entry in content.get("defaults", [])
        if isinstance(entry, dict)
        for key, choice in entry.items()
        if isinstance(choice, str)
    }


def _common(group: str) -> dict[str, Any]:
    return signature_of(BUILT[group].common).parameters


def _dotted(node: dict[str, Any]) -> Iterator[str]:
    for key, value in node.items():
        if isinstance(value, dict) and value:
            yield from (f"{key}.{inner}" for inner in _dotted(value))
        elif not isinstance(value, dict):
            yield str(key)


def _content(path: Path) -> dict[str, Any]:
    """The mapping in a file; empty where there is none that can be read."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=LOADER)
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return content if isinstance(content, dict) else {}
