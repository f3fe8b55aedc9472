"""The design of a fair study: what is compared, what is tried for each, and with which seeds."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from hydra.core.override_parser.types import IntervalSweep, Override
from omegaconf import DictConfig

from unrolled.config.compose import compose_checked
from unrolled.config.groups import ConfigGroups
from unrolled.config.overrides import quoted
from unrolled.errors import ConfigError
from unrolled.sweeps.fair.options import FairOptions
from unrolled.sweeps.fair.space import Dimension, points


@dataclass(frozen=True)
class Condition:
    """One of the values that are compared.

    Attributes:
        label: for people.
        lines: the overrides that make it.
        dimensions: what is searched for it, what all conditions share first.
        tried: the overrides of each trial.
    """

    label: str
    lines: tuple[str, ...]
    dimensions: tuple[Dimension, ...]
    tried: tuple[tuple[str, ...], ...]

    @property
    def keys(self) -> list[str]:
        """What is searched."""
        return [one.key for one in self.dimensions]


@dataclass(frozen=True)
class FairDesign:
    """What a fair study makes.

    Attributes:
        fixed: the overrides of every run.
        seeds: of the final runs, as overrides.
    """

    options: FairOptions
    fixed: tuple[str, ...]
    seeds: tuple[str, ...]
    conditions: tuple[Condition, ...]

    @property
    def runs(self) -> int:
        """How many runs there are in all; of folds, once."""
        return sum(len(each.tried) + len(self.seeds) for each in self.conditions)

    def trial(
        self,
        condition: Condition,
        number: int,
        seed: str | None = None,
        until: float | None = None,
    ) -> list[str]:
        """All overrides of a run.

        Args:
            seed: of a final run, as an override; None: the run is the search's.
            until: the share of its steps after which it waits for the others; None: none.
        """
        options = self.options
        space = ",".join(quoted(one.line) for one in condition.dimensions)
        return [
            *self.fixed,
            *condition.lines,
            *condition.tried[number],
            seed or f"seed={options.search_seed}",
            f"trial.role={'final' if seed else 'search'}",
            f"trial.search={quoted(condition.label)}",
            f"trial.number={number}",
            f"trial.trials={len(condition.tried)}",
            f"trial.objectives=[{quoted(options.objective)}]",
            f"trial.space=[{space}]",
            f"trial.until={'null' if until is None else until}",
        ]


def design(
    groups: ConfigGroups,
    overrides: Sequence[Override],
    base: DictConfig,
    sweeper: Mapping[str, Any],
) -> FairDesign:
    """The design that a command line asks for.

    Args:
        overrides: of the command line and its experiment.
        base: the configuration without what is swept.
        sweeper: ``hydra.sweeper``.

    Raises:
        ConfigError: a key that is compared but not swept, nothing to search, a final seed that
            the search uses, a name in ``own`` that nothing is called.
    """
    options = FairOptions.of(sweeper, base)
    by_key = {override.get_key_element(): override for override in overrides}
    # A class of somebody's own is chosen by its target.
    keys = [
        f"{key}._target_" if f"{key}._target_" in by_key else key for key in sweeper["compare"]
    ]
    compared = [_compared(key, by_key) for key in keys]
    swept = {key: one for key, one in by_key.items() if one.is_sweep_override()}
    for key, override in swept.items():
        if key.startswith("hydra"):
            raise ConfigError(f"{override.input_line}: a sweep has one value for this")
    seed = by_key.pop("seed", None)
    seeds = [f"seed={base.seed}"]
    if seed is not None:
        seeds = [f"seed={value}" for value in _listed(seed)]
    if f"seed={options.search_seed}" in seeds:
        raise ConfigError(
            f"seed={options.search_seed}: the search uses this seed, and a final run must not; "
            "give other seeds, or another hydra.sweeper.search_seed"
        )
    shared = [Dimension.of(one, base) for key, one in swept.items() if key not in (*keys, "seed")]
    fixed = [one for key, one in by_key.items() if key not in swept]
    own = _own(groups, sweeper["own"], compared, fixed)
    columns = len(shared) + max(map(len, own.values()), default=0)
    if not columns:
        raise ConfigError(
            "a fair study needs something to search, such as "
            "'optimizer.lr=tag(log, interval(1e-3, 1e-1))'"
        )
    conditions = []
    for lines in product(*compared):
        values = [line.partition("=")[2] for line in lines]
        further = [one for value in values for one in own.get(value, [])]
        dimensions = (*shared, *further)
        tried = points(dimensions, options.n_trials, options.sampler, options.seed, columns)
        conditions.append(
            Condition(" ".join(values), lines, dimensions, tuple(tuple(one) for one in tried))
        )
    _require_equal_budgets(conditions)
    lines = tuple(str(one.input_line) for one in fixed)
    return FairDesign(options, lines, tuple(seeds), tuple(conditions))


def _compared(key: str, by_key: Mapping[str, Override]) -> list[str]:
    """The overrides of each value of a compared key."""
    if key not in by_key:
        raise ConfigError(
            f"hydra.sweeper.compare={key}: the command gives it no values; write {key}=a,b, or "
            "compare another key"
        )
    if isinstance(by_key[key].value(), IntervalSweep):
        raise ConfigError(f"{by_key[key].input_line}: what is compared is a list of values")
    return [f"{key}={value}" for value in _listed(by_key[key])]


def _listed(override: Override) -> list[str]:
    if override.is_sweep_override():
        return list(override.sweep_string_iterator())
    return [str(override.input_line).partition("=")[2]]


def _own(
    groups: ConfigGroups,
    own: Sequence[str],
    compared: Sequence[Sequence[str]],
    fixed: Sequence[Override],
) -> dict[str, list[Dimension]]:
    """What single values search besides what all do; of a choice that is not compared now, such as
    an experiment's, nothing."""
    lines = {line.partition("=")[2]: line for each in compared for line in each}
    keys = [line.partition("=")[0] for line in lines.values()]
    choices = {choice for key in keys if key in groups.names for choice in groups.options(key)}
    found: dict[str, list[Dimension]] = {}
    for entry in own:
        value, colon, text = (part.strip() for part in entry.partition(":"))
        if not colon or "=" not in text:
            raise ConfigError(
                f"hydra.sweeper.own={entry}: write what is searched for one value alone as "
                "'lstm: model.forget_bias=0,1'"
            )
        if value in lines:
            with_value = [*fixed, *groups.parse([lines[value]])]
            base = compose_checked(groups, with_value)
            further = groups.parse([text])
            found.setdefault(value, []).extend(Dimension.of(one, base) for one in further)
        elif value not in choices:
            near = difflib.get_close_matches(value, [*lines, *choices], n=1)
            hint = f"nearest: {near[0]}" if near else f"there are {', '.join(lines)}"
            raise ConfigError(
                f"hydra.sweeper.own={entry}: nothing compared is called {value}; {hint}"
            )
    return found


def _require_equal_budgets(conditions: Sequence[Condition]) -> None:
    """Refuse grids of different sizes."""
    sizes = {each.label: len(each.tried) for each in conditions}
    if len(set(sizes.values())) > 1:
        words = ", ".join(f"{label} {size}" for label, size in sizes.items())
        raise ConfigError(
            f"hydra.sweeper.sampler=grid: the searches differ in size ({words}), which favours "
            "the larger; take hydra.sweeper.sampler=quasi_random"
        )
