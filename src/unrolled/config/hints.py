"""What is wrong with a key, a choice or a value, and what comes nearest to it."""

import difflib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from unrolled.config.locations import choice_files
from unrolled.errors import ConfigError


def require_key(config: DictConfig, key: str, groups: Sequence[str] = ()) -> None:
    """Refuse a key that the configuration does not have.

    Args:
        groups: names of config groups, which may have been meant.

    Raises:
        ConfigError: no such key; the message names the nearest one.
    """
    node: Any = config
    for part in key.split("."):
        # A set of the keys, since a key whose value is still missing is not `in` the
        # configuration.
        if not isinstance(node, DictConfig) or part not in set(node):
            hint = _other_choices(config, key) or nearest_key(key, [*keys(config), *groups])
            if not hint:
                there = [str(name) for name in node] if isinstance(node, DictConfig) else []
                shown = "`unrolled train --cfg` shows all keys"
                within = key.rpartition(".")[0]
                hint = f" ({within} has: {', '.join(there)})" if within else f"; {shown}"
            raise ConfigError(f"{key}: no such key{hint}")
        node = None if OmegaConf.is_missing(node, part) else node._get_node(part)


def require_choice(group: str, choice: str, options: Sequence[str]) -> None:
    """Refuse a choice that the group does not have.

    Raises:
        ConfigError: no such choice; the message names the nearest one and all others.
    """
    if choice not in options:
        near = difflib.get_close_matches(choice, options, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigError(
            f"{group}={choice}: no such choice{hint} (choices: {', '.join(options)})"
        )


def set_value(config: DictConfig, key: str, value: Any) -> None:
    """Set a key, which may be new.

    Raises:
        ConfigError: the key cannot hold the value.
    """
    try:
        OmegaConf.update(config, key, value, force_add=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{key}={value!s}: {first_line(error)}") from error


def keys(node: DictConfig, prefix: str = "") -> Iterator[str]:
    """Every key of a configuration, dotted, those of inner nodes too."""
    for key in node:
        name = f"{prefix}{key!s}"
        yield name
        if not OmegaConf.is_missing(node, key):
            child = node._get_node(key)
            if isinstance(child, DictConfig) and not child._is_none():
                yield from keys(child, f"{name}.")


def first_line(error: Exception) -> str:
    """The first line of an error's message, and of what caused it where that says more."""
    lines = str(error).strip().splitlines()
    # A line that ends so only announces the next.
    said = " ".join(lines[:2]) if lines[0].endswith(":") else lines[0].rstrip(".")
    cause = error.__cause__
    if not isinstance(cause, OmegaConfBaseException):
        return said
    override = said.removeprefix("Error merging override ")
    because = str(cause).strip().splitlines()[0].rstrip(".")
    return because if override == said else f"{override}: {because}"


def nearest_key(word: str, candidates: Sequence[str]) -> str:
    """A clause that names the candidate nearest to an unknown key; empty where none is near."""
    # A key typed without its group (lr, hidden_size), or in a wrong one, is nearest by its last
    # part.
    last = word.rpartition(".")[2]
    near = [candidate for candidate in candidates if candidate.rpartition(".")[2] == last]
    # The group of a key is no key to mean.
    others = [candidate for candidate in candidates if not word.startswith(f"{candidate}.")]
    near = near or difflib.get_close_matches(word, others, n=1, cutoff=0.6)
    near = near or difflib.get_close_matches(last, others, n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else ""


def _other_choices(config: DictConfig, key: str) -> str:
    """A clause for a key that the chosen option of a group lacks and others have."""
    group, _, name = key.partition(".")
    having = [path.stem for path in choice_files(group) if name in _top_level_keys(path)]
    if not having or not name:
        return ""
    chosen = OmegaConf.select(config, f"{group}.name")
    return f" with {group}={chosen}; {name} belongs to {group}={', '.join(having)}"


def _top_level_keys(path: Path) -> list[str]:
    return re.findall(r"^(\w+):", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
