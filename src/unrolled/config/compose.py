"""Composing a configuration, and saying what is wrong with it in one sentence.

Hydra composes; its messages name the fault but not the way out. Here each override is looked at
first, so that the answer can name the nearest key or choice, and every value is given its type
afterwards. No torch: the answer to a misspelt key comes before anything slow is imported.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hydra import compose
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from unrolled.config import hints
from unrolled.config.checks import check
from unrolled.config.hyperparameters import written
from unrolled.config.overrides import choose_custom, require_allowed
from unrolled.config.panel import Panel, control_panel
from unrolled.config.schema import Config
from unrolled.config.signatures import signature_of
from unrolled.config.typed import takes_whole_numbers, typed
from unrolled.errors import ConfigError

PRIMARY = "train"


@dataclass
class Plan:
    """What a command line asks for: one run, or the runs of a sweep.

    Attributes:
        configs: the configuration of the single run; of a sweep, one for each value of each swept
            key while the others stay at their first, which is enough to check every value once.
        jobs: how many runs there are in all.
        varied: the keys that a sweep varies besides cell and seed.
        overrides: what Hydra is to be told.
        hydra: Hydra's own part of the configuration: which launcher, which sweeper.
    """

    configs: list[DictConfig]
    sweep: bool
    jobs: int
    varied: list[str]
    overrides: list[str]
    hydra: DictConfig


def plan(
    overrides: Sequence[str], *, multirun: bool = False, config_dir: str | None = None
) -> Plan:
    """Check a command line's overrides and compose what they ask for.

    Raises:
        ConfigError: an unknown key, choice or type, a missing value, or one out of range.
    """
    overrides = choose_custom(overrides)
    with control_panel(config_dir) as panel:
        parsed = panel.parse(overrides)
        base = _compose(panel, [o for o in parsed if not o.is_sweep_override()])
        sweep = multirun or (base.hydra.mode is not None and base.hydra.mode.name == "MULTIRUN")
        if sweep and base.hydra.sweeper.get("params"):
            # A study's own sweep, as far as the command line does not say otherwise.
            typed = {o.get_key_element() for o in parsed}
            stored = panel.parse([f"{k}={v}" for k, v in base.hydra.sweeper.params.items()])
            parsed = [o for o in stored if o.get_key_element() not in typed] + parsed
        swept = [o for o in parsed if o.is_sweep_override()]
        if swept and not sweep:
            raise ConfigError(
                f"{swept[0].input_line}: several values make a sweep; add -m (unrolled train -m), "
                "or quote the value if it is one"
            )
        search = str(base.hydra.sweeper._target_).endswith("OptunaSweeper")
        composed = _one_at_a_time(panel, parsed, base, search) if sweep else iter([base])
        configs = [run_config(config) for config in composed]
    # Cell and seed are in every name already, as cell.name and seed; experiments differ in their
    # study's folder.
    named = ("cell", "cell._target_", "seed", "experiment")
    keys = [o.get_key_element().lstrip("+") for o in swept]
    varied = [key for key in keys if key not in named]
    jobs = math.prod(sum(1 for _ in o.sweep_string_iterator()) for o in swept if _listed(o))
    if sweep and search and base.hydra.sweeper.sampler.name != "grid":
        jobs = base.hydra.sweeper.n_trials
    return Plan(configs, sweep, jobs, varied, overrides, base.hydra)


def compose_run(overrides: Sequence[str] = ()) -> DictConfig:
    """The checked configuration of one run, for scripts and tests.

    Raises:
        ConfigError: as ``plan``.
    """
    return plan(overrides).configs[0]


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
        if override.is_sweep_override():
            raise ConfigError(f"{override.input_line}: several values, and this takes one")
        require_allowed(config, override, ())
        hints.set_value(config, override.key_or_group, override.value())
    return _typed_and_checked(config, read_own=False)


def _compose(panel: Panel, overrides: Sequence[Override]) -> DictConfig:
    """Compose by Hydra what is chosen, and what is Hydra's own; then set our keys, each held
    against what is there."""
    choices = [o for o in overrides if _is_choice(panel, o)]
    values = [o for o in overrides if o not in choices]
    config = _attempt(panel, choices)
    theirs = [o for o in values if o.key_or_group.startswith("hydra.")]
    for override in theirs:
        require_allowed(config, override, panel.groups)
    if theirs:
        config = _attempt(panel, [*choices, *theirs])
    # What is added comes last: it may belong to what another override names.
    for override in sorted((o for o in values if o not in theirs), key=Override.is_add):
        require_allowed(config, override, panel.groups)
        hints.set_value(config, override.key_or_group, override.value())
    return config


def _is_choice(panel: Panel, override: Override) -> bool:
    """Whether an override chooses an option of a group, which then must have it."""
    group = override.key_or_group
    if group not in panel.groups:
        return False
    value: Any = override.value()
    if override.is_delete():
        return False
    if override.is_add() and group in signature_of(Config).parameters:
        raise ConfigError(f"{override.input_line}: leave out the +, there is a choice already")
    for choice in value if isinstance(value, list) else [value]:
        hints.require_choice(group, written(choice), panel.options(group))
    return True


def _attempt(panel: Panel, overrides: Sequence[Override]) -> DictConfig:
    lines = [str(override.input_line) for override in overrides]
    try:
        return compose(PRIMARY, overrides=lines, return_hydra_config=True)
    except MissingConfigException as error:
        raise ConfigError(hints.first_line(error)) from error
    except (YAMLError, OSError, UnicodeDecodeError) as error:
        raise ConfigError(panel.explain_file(error)) from error
    except (HydraException, OmegaConfBaseException, ValueError, RecursionError) as error:
        raise ConfigError(hints.first_line(error)) from error


def _listed(override: Override) -> bool:
    """Whether a sweep's values can be counted."""
    return not isinstance(override.value(), IntervalSweep)


def ends(override: Override, config: DictConfig) -> tuple[float, float]:
    """The ends of an ``interval()``, as whole numbers where the key takes nothing else."""
    interval = override.value()
    assert isinstance(interval, IntervalSweep)
    assert interval.start is not None
    assert interval.end is not None
    low, high = interval.start, interval.end
    whole = takes_whole_numbers(config, override.key_or_group)
    if whole and low == int(low) and high == int(high):
        return int(low), int(high)
    return low, high


def _one_at_a_time(
    panel: Panel, parsed: Sequence[Override], base: DictConfig, search: bool
) -> Iterator[DictConfig]:
    """Every sweep at its first value, then each other value of each in turn; of an interval, which
    only a search takes, its ends."""
    lines: dict[str, list[str]] = {}
    for override in parsed:
        key = override.get_key_element()
        if not override.is_sweep_override():
            lines[key] = [str(override.input_line)]
        elif override.is_discrete_sweep():
            lines[key] = [f"{key}={value}" for value in override.sweep_string_iterator()]
        elif search and isinstance(override.value(), IntervalSweep):
            hints.require_key(base, key, panel.groups)
            lines[key] = [f"{key}={end}" for end in ends(override, base)]
        else:
            raise ConfigError(
                f"{override.input_line}: the sweeper takes lists, choice() and range(); "
                "write the values, or search with hydra/sweeper=optuna"
            )
    first = {key: options[0] for key, options in lines.items()}
    config = _compose(panel, panel.parse(list(first.values())))
    yield config
    for key, options in lines.items():
        for option in options[1:]:
            if key in panel.groups or key.startswith("+"):
                yield _compose(panel, panel.parse(list({**first, key: option}.values())))
            else:
                # Composing again would only read the same files again.
                variant = config.copy()
                hints.set_value(variant, key, panel.parse([option])[0].value())
                yield variant


def run_config(composed: DictConfig) -> DictConfig:
    """A run's own part of what Hydra composed: resolved, every value there, of its type and in
    range, choices as words.

    Raises:
        ConfigError: a value that is missing, of another type, or out of range.
    """
    config = composed.copy()
    OmegaConf.set_readonly(config, False)
    OmegaConf.set_struct(config, False)
    config.pop("hydra", None)
    return _typed_and_checked(config)


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
