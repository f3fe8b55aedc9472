"""Which overrides a command line may have: every key that there is, and new ones only for what a
person wrote themselves."""

import re
from collections.abc import Sequence
from dataclasses import is_dataclass

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from unrolled.config import hints
from unrolled.config.build import OURS
from unrolled.config.locations import choice_files
from unrolled.config.schema import BUILT
from unrolled.errors import ConfigError

# Groups with a choice `custom`, for a class or function of one's own that is named by itself.
NAMED = ("task", "dataset", "cell")


def choose_custom(overrides: Sequence[str]) -> list[str]:
    """Where a class or function is named by itself, choose ``custom``, which has none of the
    default choice's options; or, for one of ours, the choice that is there for it."""
    chosen = []
    for group in NAMED:
        prefix = f"{group}._target_="
        targets = [o.removeprefix(prefix) for o in overrides if o.startswith(prefix)]
        if targets and not any(o.startswith(f"{group}=") for o in overrides):
            chosen.append(f"{group}={choice_of(group, targets[-1]) or 'custom'}")
    return [*chosen, *overrides]


def choice_of(group: str, target: str) -> str | None:
    """The choice of a group that builds ``target``, where it is one of ours."""
    if not target.startswith("unrolled."):
        return None
    line = re.compile(rf"^_target_: {re.escape(target)}\s*$", re.MULTILINE)
    for path in choice_files(group):
        if line.search(path.read_text(encoding="utf-8")):
            return path.stem
    return None


def require_allowed(config: DictConfig, override: Override, groups: Sequence[str]) -> None:
    """Refuse an override that takes a key away, or adds one where none can be added.

    Args:
        config: composed so far, with Hydra's own part.
        groups: all config groups.

    Raises:
        ConfigError: the message names the nearest key, or the way out.
    """
    line, key = str(override.input_line), override.key_or_group
    if override.is_delete():
        raise ConfigError(
            f"{line}: nothing can be taken away from a configuration; give {key} another value"
        )
    if key.startswith("hydra."):
        _require_in_hydra(config, key, new=override.is_add() or override.is_force_add())
    elif override.is_add():
        _require_addition(config, line, key, groups)
    else:
        hints.require_key(config, key, groups)


def _require_addition(config: DictConfig, line: str, key: str, groups: Sequence[str]) -> None:
    """Refuse a new key anywhere but among the options of what a person wrote themselves."""
    group, _, name = key.partition(".")
    built = BUILT.get(group)
    target = OmegaConf.select(config, f"{group}._target_") if built and built.own else None
    if target is None or str(target).startswith(OURS) or not name:
        hints.require_key(config, key, groups)
    if not name or name in set(config[group]):
        raise ConfigError(f"{line}: this key is there already; leave out the +")


def _require_in_hydra(config: DictConfig, key: str, *, new: bool) -> None:
    """Refuse a key of Hydra's that its schema does not have; some of its nodes take new ones."""
    parent = key.rpartition(".")[0]
    hints.require_key(config, parent)
    node = OmegaConf.select(config, parent)
    if not new or not isinstance(node, DictConfig) or is_dataclass(OmegaConf.get_type(node)):
        hints.require_key(config, key)


def quoted(text: str) -> str:
    """A text in Hydra's syntax, in which a backslash is itself unless it stands before a quote."""
    escaped = re.sub(
        r"(\\*)('|\Z)", lambda found: found[1] * 2 + found[2].replace("'", "\\'"), text
    )
    return f"'{escaped}'"
