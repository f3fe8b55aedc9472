"""Composing a configuration, and saying what is wrong with it in one sentence.

Hydra refuses what does not fit the schema; its messages name the fault but not the way out. Here
each override is looked at first, so that the answer can name the nearest key, choice or type. No
torch: the answer to a misspelt key comes before anything slow is imported.
"""

import difflib
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from unrolled.config.checks import check
from unrolled.config.locations import config_directory, experiments_directory
from unrolled.config.schema import SCHEMAS, register_schemas
from unrolled.errors import ConfigError

PRIMARY = "train"


@dataclass
class Plan:
    """What a command line asks for: one run, or the runs of a sweep.

    ``configs`` holds the configuration of the single run; of a sweep, one for each value of each
    swept key while the others stay at their first, which is enough to check every value once.
    ``jobs`` is how many runs there are in all, ``varied`` the keys that a sweep varies besides
    cell and seed.
    """

    configs: list[DictConfig]
    sweep: bool
    jobs: int
    varied: list[str]


def plan(
    overrides: Sequence[str], *, multirun: bool = False, config_dir: str | None = None
) -> Plan:
    """Check a command line's overrides and compose what they ask for.

    Raises:
        ConfigError: an unknown key, choice or type, a missing value, or one out of range.
    """
    with hydra_at_hand(config_dir):
        parsed = _parse(overrides)
        base = _compose([str(o.input_line) for o in parsed if not o.is_sweep_override()])
        sweep = multirun or (base.hydra.mode is not None and base.hydra.mode.name == "MULTIRUN")
        if sweep and base.hydra.sweeper.get("params"):
            typed = {o.get_key_element() for o in parsed}
            stored = _parse([f"{k}={v}" for k, v in base.hydra.sweeper.params.items()])
            parsed = [o for o in stored if o.get_key_element() not in typed] + parsed
        swept = [o for o in parsed if o.is_sweep_override()]
        if swept and not sweep:
            raise ConfigError(
                f"{swept[0].input_line}: several values make a sweep; add -m (unrolled train -m …), "
                "or quote the value if it is one"
            )
        configs = [_finished(c) for c in _one_at_a_time(parsed)] if sweep else [_finished(base)]
    # A swept cell or seed is in the name already, as cell.name and seed.
    varied = [o.get_key_element() for o in swept if o.get_key_element() not in ("cell", "seed")]
    jobs = math.prod(sum(1 for _ in o.sweep_string_iterator()) for o in swept)
    return Plan(configs, sweep, jobs, varied)


def compose_run(overrides: Sequence[str] = ()) -> DictConfig:
    """The checked configuration of one run, for scripts and tests.

    Raises:
        ConfigError: as ``plan``.
    """
    return plan(overrides).configs[0]


def apply_overrides(config: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """A stored configuration with some values changed, for commands that start from a run.

    Raises:
        ConfigError: a key that the configuration does not have, or a value of the wrong type.
    """
    config = config.copy()
    OmegaConf.set_struct(config, True)
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        key = override.get_key_element()
        _require_key(config, key, [])
        before, after = OmegaConf.select(config, key), override.value()
        if before is not None and not isinstance(after, (type(before), int)):
            kind = type(before).__name__
            raise ConfigError(f"{key}={after}: the run's configuration has a value of type {kind}")
        _set(config, key, after)
    check(config)
    return config


@contextmanager
def hydra_at_hand(config_dir: str | None = None) -> Iterator[None]:
    """Hydra, set up on our control panel and, before it, the person's own config folder.

    Raises:
        ConfigError: there is no such config folder.
    """
    register_schemas()
    if config_dir is not None and not Path(config_dir).is_dir():
        raise ConfigError(f"{config_dir}: no such config folder")
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config_directory()), version_base="1.3"):
        if config_dir is not None:
            hydra = GlobalHydra.instance().hydra
            assert hydra is not None
            path = f"file://{Path(config_dir).resolve()}"
            hydra.config_loader.get_search_path().prepend("command-line", path)
        yield


def _parse(overrides: Sequence[str]) -> list[Override]:
    try:
        return OverridesParser.create(config_loader=_loader()).parse_overrides(list(overrides))
    except HydraException as error:
        raise ConfigError(f"cannot read an override: {str(error).splitlines()[0]}") from error


def _loader() -> Any:
    hydra = GlobalHydra.instance().hydra
    assert hydra is not None
    return hydra.config_loader


def _one_at_a_time(parsed: list[Override]) -> Iterator[DictConfig]:
    """The configuration with every sweep at its first value, then each other value of each in
    turn."""
    lines: dict[str, list[str]] = {}
    for override in parsed:
        key = override.get_key_element()
        if not override.is_sweep_override():
            lines[key] = [str(override.input_line)]
        elif override.is_discrete_sweep():
            lines[key] = [f"{key}={value}" for value in override.sweep_string_iterator()]
        else:
            raise ConfigError(
                f"{override.input_line}: the sweeper takes lists, choice() and range(); "
                "write the values"
            )
    first = {key: options[0] for key, options in lines.items()}
    config = _compose(list(first.values()))
    yield config
    for key, options in lines.items():
        for option in options[1:]:
            if key in _groups():
                yield _compose(list({**first, key: option}.values()))
            else:
                # Composing again would only read the same files again.
                variant = config.copy()
                _set(variant, key, _parse([option])[0].value())
                yield variant


def _finished(config: DictConfig) -> DictConfig:
    """The configuration without Hydra's own part, every value there, resolved and in range."""
    config = config.copy()
    OmegaConf.set_readonly(config, False)
    OmegaConf.set_struct(config, False)
    config.pop("hydra")
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        raise ConfigError(f"{missing[0]} is needed and has no default: give {missing[0]}=…")
    try:
        OmegaConf.resolve(config)
    except OmegaConfBaseException as error:
        raise ConfigError(_first_line(error)) from error
    check(config)
    OmegaConf.set_struct(config, True)
    return config


def _compose(overrides: list[str]) -> DictConfig:
    """Compose, group choices first, so that each further override can be held against what is
    there."""
    choices: list[Override] = []
    values: list[Override] = []
    for override in _parse(overrides):
        (choices if _is_choice(override) else values).append(override)
    config = _attempt([str(o.input_line) for o in choices], [])
    if not values:
        return config
    probe = config.copy()
    for override in values:
        key = override.get_key_element()
        if override.is_add() or override.is_delete() or override.is_force_add():
            continue
        if key.startswith("hydra."):
            continue
        _require_key(probe, key, _groups())
        _set(probe, key, override.value())
    return _attempt(overrides, list(_keys(config)))


def _attempt(overrides: list[str], keys: list[str]) -> DictConfig:
    try:
        return compose(PRIMARY, overrides=overrides, return_hydra_config=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(_explain(error, keys)) from error


def _is_choice(override: Override) -> bool:
    key = override.key_or_group
    if key not in _groups():
        return False
    options = _options(key)
    value = override.value()
    if override.is_delete() or value is None:
        return True
    for choice in value if isinstance(value, list) else [value]:
        if str(choice) not in options:
            raise ConfigError(f"{key}={choice}: no such choice{_nearest(str(choice), options)}")
    return True


def _options(group: str) -> list[str]:
    """The choices of a group, less the schemas that only our own files refer to."""
    options = _loader().get_group_options(group)
    if group == "experiment":
        # Hydra adds this source while it composes, so its own listing does not know it yet.
        options += [path.parent.name for path in experiments_directory().glob("*/config.yaml")]
    return sorted(option for option in set(options) if not option.startswith("schema_"))


def _groups() -> list[str]:
    loader = _loader()
    groups = ["experiment"]
    pending = [group for group in loader.list_groups("") if group != "experiment"]
    while pending:
        group = pending.pop()
        groups.append(group)
        pending += [f"{group}/{inner}" for inner in loader.list_groups(group)]
    return sorted(groups)


def _require_key(config: DictConfig, key: str, groups: list[str]) -> None:
    node: Any = config
    for part in key.split("."):
        if not isinstance(node, DictConfig) or part not in set(node):
            candidates = [*_keys(config), *groups]
            hint = _elsewhere(config, key) or _nearest(key, candidates, keys=True)
            raise ConfigError(f"{key}: no such key{hint}")
        node = None if OmegaConf.is_missing(node, part) else node._get_node(part)


def _elsewhere(config: DictConfig, key: str) -> str:
    """A clause for a key that the chosen option of a group lacks and others have."""
    group, _, name = key.partition(".")
    schemas = SCHEMAS.get(group, {})
    having = [choice for choice, node in schemas.items() if name in node.__dataclass_fields__]
    if not having:
        return ""
    chosen = OmegaConf.select(config, f"{group}.name")
    return f" with {group}={chosen}; {name} belongs to {group}={', '.join(having)}"


def _set(config: DictConfig, key: str, value: Any) -> None:
    try:
        OmegaConf.update(config, key, value)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{key}={value}: {_first_line(error)}") from error


def _keys(node: DictConfig, prefix: str = "") -> Iterator[str]:
    for key in node:
        name = f"{prefix}{key!s}"
        yield name
        if not OmegaConf.is_missing(node, key):
            child = node._get_node(key)
            if isinstance(child, DictConfig) and not child._is_none():
                yield from _keys(child, f"{name}.")


def _nearest(word: str, candidates: Sequence[str], *, keys: bool = False) -> str:
    """A clause that names the nearest candidate; for choices, all of them."""
    near = difflib.get_close_matches(word, candidates, n=1, cutoff=0.5)
    if keys:
        # A key typed without its group (lr, hidden_size) or in a wrong one is nearest by its last
        # part.
        last = word.rpartition(".")[2]
        exact = [c for c in candidates if c.rpartition(".")[2] == last]
        near = exact[:1] or near or difflib.get_close_matches(last, candidates, n=1, cutoff=0.4)
        return (
            f"; did you mean {near[0]}?" if near else "; `unrolled train --cfg job` shows all keys"
        )
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"{hint} (choices: {', '.join(candidates)})"


def _explain(error: Exception, keys: list[str]) -> str:
    message = _first_line(error)
    for word in message.replace("'", " ").split():
        if keys and "." in word and word not in keys:
            return f"{message}{_nearest(word, keys, keys=True)}"
    return message


def _first_line(error: Exception) -> str:
    cause = error.__cause__
    message = str(cause) if isinstance(cause, OmegaConfBaseException) else str(error)
    return message.strip().splitlines()[0].rstrip(".")
