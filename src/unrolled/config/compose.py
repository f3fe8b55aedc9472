"""Composing a configuration, and saying what is wrong with it in one sentence.

Hydra composes; its messages name the fault but not the way out. Here each override is looked at
first, so that the answer can name the nearest key or choice, and every value is given its type
afterwards. No torch: the answer to a misspelt key comes before anything slow is imported.
"""

from collections.abc import Sequence
from typing import Any

from hydra import compose
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, IntegerNode, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from unrolled.config import hints
from unrolled.config.checks import check
from unrolled.config.groups import ConfigGroups, config_groups
from unrolled.config.hyperparameters import written
from unrolled.config.overrides import choose_custom, require_allowed
from unrolled.config.schema import Config
from unrolled.config.signatures import signature_of
from unrolled.config.typed import typed
from unrolled.errors import ConfigError

PRIMARY = "train"


def compose_run(overrides: Sequence[str] = (), config_dir: str | None = None) -> DictConfig:
    """The checked configuration of one run, for scripts and tests.

    Args:
        config_dir: a folder of config groups of the person's own.

    Raises:
        ConfigError: an unknown key, choice or type, a missing value, or one out of range.
    """
    with config_groups(config_dir) as groups:
        parsed = groups.parse(choose_custom(overrides))
        refuse_sweeps(parsed)
        return run_config(compose_checked(groups, parsed))


def refuse_sweeps(overrides: Sequence[Override]) -> None:
    """Refuse several values for a key of a single run.

    Raises:
        ConfigError: there are some.
    """
    for override in overrides:
        if override.is_sweep_override():
            raise ConfigError(
                f"{override.input_line}: several values make a sweep; add -m (unrolled train -m; "
                "unrolled.sweep in Python), or quote the value if it is one"
            )


def apply_overrides(config: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """A stored configuration with some values changed, for commands that start from a run.

    Raises:
        ConfigError: a key that the configuration does not have, or a value of another type.
    """
    config = config.copy()
    OmegaConf.set_struct(config, True)
    with config_groups() as groups:
        parsed = groups.parse(overrides)
    for override in parsed:
        if override.is_sweep_override():
            raise ConfigError(f"{override.input_line}: several values, and this takes one")
        require_allowed(config, override, ())
        hints.set_value(config, override.key_or_group, override.value())
    return _typed_and_checked(config, read_own=False)


def compose_checked(groups: ConfigGroups, overrides: Sequence[Override]) -> DictConfig:
    """Compose by Hydra what is chosen, and what is Hydra's own; then set our keys, each held
    against what is there."""
    choices = [o for o in overrides if _is_choice(groups, o)]
    values = [o for o in overrides if o not in choices]
    config = _attempt(groups, choices)
    theirs = [o for o in values if o.key_or_group.startswith("hydra.")]
    for override in theirs:
        require_allowed(config, override, groups.names)
    if theirs:
        config = _attempt(groups, [*choices, *theirs])
    set_values(groups, config, [o for o in values if o not in theirs])
    return config


def set_values(groups: ConfigGroups, config: DictConfig, overrides: Sequence[Override]) -> None:
    """Set keys of a configuration, each held against what is there.

    Raises:
        ConfigError: a key that cannot be set, or added.
    """
    # What is added comes last: it may belong to what another override names.
    for override in sorted(overrides, key=Override.is_add):
        require_allowed(config, override, groups.names)
        hints.set_value(config, override.key_or_group, override.value())


def with_whole_numbers(groups: ConfigGroups, overrides: Sequence[str]) -> list[str]:
    """Overrides with ``1e3`` written as ``1000`` where an option of Hydra's own part, such as
    ``hydra.sweeper.n_trials``, is a whole number; our keys take ``1e3`` as it stands."""
    parsed = [o for o in groups.parse(overrides) if not o.is_sweep_override()]
    whole = {
        str(override.input_line): (override.key_or_group, int(value))
        for override in parsed
        if override.key_or_group.startswith("hydra.")
        and isinstance(value := override.value(), float)
        and value.is_integer()
    }
    if not whole:
        return [*overrides]
    config = _attempt(groups, [o for o in parsed if _is_choice(groups, o)])
    lines = {}
    for line, (key, value) in whole.items():
        parent, _, name = key.rpartition(".")
        node = OmegaConf.select(config, parent)
        if isinstance(node, DictConfig) and isinstance(node._get_node(name), IntegerNode):
            lines[line] = f"{line.partition('=')[0]}={value}"
    return [lines.get(line, line) for line in overrides]


def _is_choice(groups: ConfigGroups, override: Override) -> bool:
    """Whether an override chooses an option of a group, which then must have it."""
    group = override.key_or_group
    if group not in groups.names:
        return False
    value: Any = override.value()
    if override.is_delete():
        return False
    if override.is_add() and group in signature_of(Config).parameters:
        raise ConfigError(f"{override.input_line}: leave out the +, there is a choice already")
    for choice in value if isinstance(value, list) else [value]:
        hints.require_choice(group, written(choice), groups.options(group))
    return True


def _attempt(groups: ConfigGroups, overrides: Sequence[Override]) -> DictConfig:
    lines = [str(override.input_line) for override in overrides]
    try:
        return compose(PRIMARY, overrides=lines, return_hydra_config=True)
    except MissingConfigException as error:
        raise ConfigError(hints.first_line(error)) from error
    except (YAMLError, OSError, UnicodeDecodeError) as error:
        raise ConfigError(groups.explain_file(error)) from error
    except (HydraException, OmegaConfBaseException, ValueError, RecursionError) as error:
        raise ConfigError(hints.first_line(error)) from error


def without_hydra(config: DictConfig) -> DictConfig:
    """A copy of a composed configuration that is the run's alone, and can be changed."""
    config = config.copy()
    OmegaConf.set_readonly(config, False)
    OmegaConf.set_struct(config, False)
    config.pop("hydra", None)
    return config


def run_config(composed: DictConfig) -> DictConfig:
    """A run's own part of what Hydra composed: resolved, every value there, of its type and in
    range, choices as words.

    Raises:
        ConfigError: a value that is missing, of another type, or out of range.
    """
    return _typed_and_checked(without_hydra(composed) if "hydra" in composed else composed)


def _typed_and_checked(config: DictConfig, *, read_own: bool = True) -> DictConfig:
    try:
        missing = sorted(OmegaConf.missing_keys(config))
        if missing:
            raise ConfigError(f"{missing[0]} is needed and has no default: give {missing[0]}=…")
        values = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        where = f"{error.full_key}: " if error.full_key else ""
        raise ConfigError(f"{where}{hints.first_line(error)}") from error
    assert isinstance(values, dict)
    result = OmegaConf.create(typed({str(k): v for k, v in values.items()}, read_own=read_own))
    check(result)
    OmegaConf.set_struct(result, True)
    return result
