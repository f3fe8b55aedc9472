"""Composing a configuration, and saying what is wrong with it in one sentence.

Hydra refuses what does not fit the schema; its messages name the fault but not the way out. Here
each override is looked at first, so that the answer can name the nearest key, choice or type. No
torch: the answer to a misspelt key comes before anything slow is imported.
"""

from collections.abc import Sequence
from typing import Any

from hydra import compose
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from unrolled.config import hints
from unrolled.config.checks import check
from unrolled.config.panel import Panel, control_panel
from unrolled.errors import ConfigError

PRIMARY = "train"


def compose_run(overrides: Sequence[str] = ()) -> DictConfig:
    """The checked configuration of one run, for scripts and tests.

    Raises:
        ConfigError: an unknown key, choice or type, a missing value, or one out of range.
    """
    with control_panel() as panel:
        parsed = panel.parse(with_own_cell(overrides))
        refuse_sweeps(parsed)
        return finished(compose_checked(panel, parsed))


def refuse_sweeps(overrides: Sequence[Override]) -> None:
    """Refuse several values for a key of a single run.

    Raises:
        ConfigError: there are some.
    """
    for override in overrides:
        if override.is_sweep_override():
            raise ConfigError(
                f"{override.input_line}: several values make a sweep; add -m (unrolled train -m), "
                "or quote the value if it is one"
            )


def apply_overrides(config: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """A stored configuration with some values changed, for commands that start from a run.

    Raises:
        ConfigError: a key that the configuration does not have, or a value of another type.
    """
    config = config.copy()
    OmegaConf.set_struct(config, True)
    with control_panel() as panel:
        parsed = panel.parse(overrides)
    for override in parsed:
        key = override.get_key_element()
        if override.is_sweep_override():
            raise ConfigError(f"{override.input_line}: several values, and this takes one")
        hints.require_key(config, key)
        hints.set_value(config, key, hints.typed(config, key, override.value()))
    check(config)
    return config


def with_own_cell(overrides: Sequence[str]) -> list[str]:
    """A cell of one's own comes without the options of the default one."""
    own = any(override.lstrip("+").startswith("cell._target_=") for override in overrides)
    chosen = any(override.startswith("cell=") for override in overrides)
    return ["cell=custom", *overrides] if own and not chosen else list(overrides)


def compose_checked(panel: Panel, overrides: Sequence[Override]) -> DictConfig:
    """Compose, group choices first, so that each other override can be held against what is
    there."""
    choices = [o for o in overrides if _is_choice(panel, o)]
    values = [o for o in overrides if o not in choices]
    config = _attempt(choices, [])
    if not values:
        return config
    probe = config.copy()
    for override in values:
        key = override.get_key_element()
        changes = not (override.is_add() or override.is_force_add() or override.is_delete())
        # Hydra's own keys are left to Hydra, whose schema refuses them too.
        if changes and not key.startswith("hydra."):
            hints.require_key(probe, key, panel.groups)
            hints.set_value(probe, key, override.value())
    return _attempt(overrides, list(hints.keys(config)))


def _is_choice(panel: Panel, override: Override) -> bool:
    """Whether an override chooses an option of a group, which then must have it."""
    group = override.key_or_group
    if group not in panel.groups:
        return False
    value: Any = override.value()
    if not override.is_delete() and value is not None:
        for choice in value if isinstance(value, list) else [value]:
            hints.require_choice(group, str(choice), panel.options(group))
    return True


def _attempt(overrides: Sequence[Override], known: Sequence[str]) -> DictConfig:
    lines = [str(override.input_line) for override in overrides]
    try:
        return compose(PRIMARY, overrides=lines, return_hydra_config=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(hints.explain(error, known)) from error


def without_hydra(config: DictConfig) -> DictConfig:
    """A copy of a composed configuration that is the run's alone, and can be changed."""
    config = config.copy()
    OmegaConf.set_readonly(config, False)
    OmegaConf.set_struct(config, False)
    config.pop("hydra", None)
    return config


def finished(config: DictConfig) -> DictConfig:
    """The configuration without Hydra's own part, every value there, resolved and in range."""
    config = without_hydra(config)
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        raise ConfigError(f"{missing[0]} is needed and has no default: give {missing[0]}=…")
    try:
        OmegaConf.resolve(config)
    except OmegaConfBaseException as error:
        raise ConfigError(hints.first_line(error)) from error
    check(config)
    OmegaConf.set_struct(config, True)
    return config
