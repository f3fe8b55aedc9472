"""From a command line to the runs that it asks for, each composed and checked once, before any
begins."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from hydra.core.override_parser.types import IntervalSweep, Override
from omegaconf import DictConfig, OmegaConf

from unrolled.config import hints
from unrolled.config.compose import (
    compose_checked,
    refuse_sweeps,
    run_config,
    set_values,
    with_whole_numbers,
    without_hydra,
)
from unrolled.config.groups import ConfigGroups, config_groups
from unrolled.config.overrides import choose_custom
from unrolled.errors import ConfigError
from unrolled.sweeps.fair.design import FairDesign, design
from unrolled.sweeps.search.space import ends

# Cell, seed and fold are in every run's name already; experiments differ in their study's folder.
_NAMED = ("cell", "cell._target_", "seed", "fold", "experiment")


@dataclass(frozen=True)
class Plan:
    """What a command line asks for: one run, or the runs of a sweep.

    Attributes:
        configs: of the single run, of each run of a grid, or of each trial of a fair study. Of a
            search by Optuna, whose runs are chosen later, and of a sweeper of others: one for
            each value of each swept key while the others stay at their first, which is enough to
            check every value once.
        overrides: of each of them, in Hydra's syntax, for launchers that compose it again.
        typed: the overrides of the command line, a study's own sweep not among them.
        sweep: whether there may be several runs: of several values, or of several folds.
        jobs: how many runs there are in all; of a search, how many trials.
        varied: the keys that a sweep varies besides cell and seed.
        hydra: Hydra's own part of the configuration: which launcher, which sweeper.
        config_dir: a folder of config groups of the person's own.
        fair: the design of a fair study, whose searches' runs are the ``configs``.
    """

    configs: list[DictConfig]
    overrides: list[list[str]]
    typed: list[str]
    sweep: bool
    jobs: int
    varied: list[str]
    hydra: DictConfig
    config_dir: str | None = None
    fair: FairDesign | None = None

    @property
    def is_search(self) -> bool:
        """Whether each run is chosen when it begins, by the results of others."""
        return self.sweep and _is_search(self.hydra)

    @property
    def is_grid(self) -> bool:
        """Whether ``configs`` has every run of a sweep."""
        return self.sweep and _is_grid(self.hydra)


def plan(
    overrides: Sequence[str], *, multirun: bool = False, config_dir: str | None = None
) -> Plan:
    """Check a command line's overrides and compose the runs that they ask for.

    Raises:
        ConfigError: an unknown key, choice or type, a missing value, or one out of range.
    """
    with config_groups(config_dir) as groups:
        typed = with_whole_numbers(groups, choose_custom(overrides))
        parsed = groups.parse(typed)
        base = compose_checked(groups, [o for o in parsed if not o.is_sweep_override()])
        hydra: DictConfig = base.hydra
        sweep = multirun or (hydra.mode is not None and hydra.mode.name == "MULTIRUN")
        if not sweep:
            refuse_sweeps(parsed)
            config = run_config(base)
            if not has_open_folds(config):
                return Plan([config], [typed], typed, False, 1, [], hydra, config_dir)
        parsed = with_stored_sweep(groups, parsed, hydra)
        swept = [o for o in parsed if o.is_sweep_override()]
        keys = [o.get_key_element().lstrip("+") for o in swept]
        varied = [key for key in keys if key not in _NAMED]
        if _is_fair(hydra):
            fair = design(groups, parsed, base, hydra.sweeper)
            varied = [key for key in varied if key in hydra.sweeper.compare]
            composer = Composer(groups, varied)
            trials = [
                (fair.trial(condition, number), condition.keys)
                for condition in fair.conditions
                for number in range(len(condition.tried))
            ]
            configs = [composer.compose(each, keys) for each, keys in trials]
            named = [each for each, _ in trials]
            return Plan(configs, named, typed, True, fair.runs, varied, hydra, config_dir, fair)
        values = _values(groups, parsed, base)
        lines = list(product(*values.values()) if _is_grid(hydra) else _one_at_a_time(values))
        composer = Composer(groups, varied)
        configs = [composer.compose(each) for each in lines]
        named = [[*e, name_by(config)] for e, config in zip(lines, configs, strict=True)]
        if _is_grid(hydra):
            named, configs = _each_with_its_folds(named, configs)
    if _is_grid(hydra):
        jobs = len(configs)
    elif _is_search(hydra) and hydra.sweeper.sampler.name != "grid":
        jobs = hydra.sweeper.n_trials
    else:
        listed = [o for o in swept if not isinstance(o.value(), IntervalSweep)]
        jobs = math.prod(len(values[o.get_key_element()]) for o in listed)
    return Plan(configs, named, typed, True, jobs, varied, hydra, config_dir)


class Composer:
    """Composes runs that share most of a command line.

    Hydra reads the files of each combination of choices once; values are set in its result, as
    Hydra would set them.

    Args:
        varied: keys that runs are named by, besides those of the configuration's ``name_by``.
    """

    def __init__(self, groups: ConfigGroups, varied: Sequence[str] = ()) -> None:
        self.groups = groups
        self.varied = varied
        self._parsed: dict[str, Override] = {}
        self._composed: dict[tuple[str, ...], DictConfig] = {}

    def compose(self, lines: Sequence[str], varied: Sequence[str] = ()) -> DictConfig:
        """The checked and resolved configuration of one run.

        Args:
            lines: all of the run's overrides, each with one value.
            varied: keys that this run is named by besides.

        Raises:
            ConfigError: an unknown key, choice or type, a missing value, or one out of range.
        """
        for line in lines:
            if line not in self._parsed:
                (self._parsed[line],) = self.groups.parse([line])
        overrides = [self._parsed[line] for line in lines]
        choices = [o for o in overrides if o.key_or_group in self.groups.names]
        config = self._with_choices(choices)
        # Hydra's own part is the sweep's, and checked with it.
        values = [o for o in overrides if not o.key_or_group.startswith("hydra.")]
        set_values(self.groups, config, [o for o in values if o not in choices])
        config.name_by = _names(config, [*self.varied, *varied])
        return run_config(config)

    def _with_choices(self, choices: Sequence[Override]) -> DictConfig:
        key = tuple(str(override.input_line) for override in choices)
        if key not in self._composed:
            config = without_hydra(compose_checked(self.groups, choices))
            OmegaConf.set_struct(config, True)
            self._composed[key] = config
        return self._composed[key].copy()


def has_open_folds(config: DictConfig) -> bool:
    """Whether a configuration stands for a run of each fold."""
    return config.folds is not None and config.fold is None


def each_fold(config: DictConfig) -> list[DictConfig]:
    """The configurations of runs that one stands for: of each fold, where it names none."""
    if not has_open_folds(config):
        return [config]
    result = []
    for number in range(config.folds):
        one = config.copy()
        one.fold = number
        result.append(one)
    return result


def _each_with_its_folds(
    lines: Sequence[list[str]], configs: Sequence[DictConfig]
) -> tuple[list[list[str]], list[DictConfig]]:
    """Overrides and configurations, with those of every fold in place of those that name none."""
    pairs = [
        ([*each, f"fold={one.fold}"] if has_open_folds(config) else each, one)
        for each, config in zip(lines, configs, strict=True)
        for one in each_fold(config)
    ]
    return [each for each, _ in pairs], [config for _, config in pairs]


def with_stored_sweep(
    groups: ConfigGroups, overrides: Sequence[Override], hydra: DictConfig
) -> list[Override]:
    """The overrides of a command line with the sweep of its experiment, as far as the command line
    does not say otherwise."""
    typed = {override.get_key_element() for override in overrides}
    stored = groups.parse([f"{k}={v}" for k, v in (hydra.sweeper.get("params") or {}).items()])
    return [*(o for o in stored if o.get_key_element() not in typed), *overrides]


def name_by(config: DictConfig) -> str:
    """The override for the keys that runs are named by."""
    return f"name_by=[{','.join(config.name_by)}]"


def _names(config: DictConfig, varied: Sequence[str]) -> list[str]:
    return [*config.name_by, *(key for key in varied if key not in config.name_by)]


def _values(
    groups: ConfigGroups, overrides: Sequence[Override], base: DictConfig
) -> dict[str, list[str]]:
    """For each key its overrides, one for each value; of an interval, which only searches take,
    its ends."""
    lines: dict[str, list[str]] = {}
    for override in overrides:
        key = override.get_key_element()
        if not override.is_sweep_override():
            lines[key] = [str(override.input_line)]
        elif key.startswith("hydra"):
            raise ConfigError(f"{override.input_line}: a sweep has one value for this")
        elif override.is_discrete_sweep():
            lines[key] = [f"{key}={value}" for value in override.sweep_string_iterator()]
        elif not _is_grid(base.hydra) and isinstance(override.value(), IntervalSweep):
            hints.require_key(base, key, groups.names)
            lines[key] = [f"{key}={end}" for end in ends(override, base)]
        else:
            raise ConfigError(
                f"{override.input_line}: the sweeper takes lists, choice() and range(); "
                "write the values, or search with hydra/sweeper=optuna"
            )
    return lines


def _one_at_a_time(values: dict[str, list[str]]) -> Iterator[list[str]]:
    """Every key at its first value, then each other value of each in turn."""
    first = {key: options[0] for key, options in values.items()}
    yield list(first.values())
    for key, options in values.items():
        for option in options[1:]:
            yield list({**first, key: option}.values())


def _is_search(hydra: Any) -> bool:
    # Hydra's own plug-in for Optuna has a class of this name, too.
    return str(hydra.sweeper._target_) == "hydra_plugins.unrolled_plugins.OptunaSweeper"


def _is_fair(hydra: Any) -> bool:
    return str(hydra.sweeper._target_) == "hydra_plugins.unrolled_plugins.FairSweeper"


def _is_grid(hydra: Any) -> bool:
    return str(hydra.sweeper._target_).endswith("BasicSweeper")
