"""A search space in Hydra's own syntax, as Optuna's distributions."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from omegaconf import DictConfig

from unrolled.config.typed import takes_whole_numbers
from unrolled.errors import ConfigError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


def search_space(
    overrides: Iterable[Override], config: DictConfig
) -> "dict[str, BaseDistribution]":
    """What each swept key may be.

    ``interval(a, b)`` is a number between, a whole one where ``config`` has whole numbers;
    ``tag(log, interval(a, b))`` is drawn on a logarithmic scale; ``range(a, b, step)`` has steps;
    a list or ``choice()`` has its values and no order.

    Raises:
        ConfigError: an interval that is empty, or that a logarithm cannot take.
    """
    return {
        override.get_key_element(): _distribution(override, config)
        for override in overrides
        if override.is_sweep_override()
    }


def interval_of(override: Override, config: DictConfig) -> tuple[float, float, bool]:
    """The ends of an ``interval()``, and whether it is logarithmic.

    Raises:
        ConfigError: it is empty, or no logarithm can take it.
    """
    low, high = ends(override, config)
    log = "log" in override.value().tags  # type: ignore[union-attr]
    if low >= high:
        raise ConfigError(f"{override.input_line}: an interval from its lower to its upper end")
    if log and low <= 0:
        raise ConfigError(f"{override.input_line}: a logarithmic interval begins above 0")
    return low, high, log


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


def grid_of(space: "dict[str, BaseDistribution]") -> dict[str, list[Any]]:
    """Every value of each key.

    Raises:
        ConfigError: a key has an interval, which no grid covers.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    grid: dict[str, list[Any]] = {}
    for key, distribution in space.items():
        if isinstance(distribution, CategoricalDistribution):
            grid[key] = list(distribution.choices)
        elif isinstance(distribution, IntDistribution | FloatDistribution) and distribution.step:
            count = round((distribution.high - distribution.low) / distribution.step)
            grid[key] = [distribution.low + n * distribution.step for n in range(count + 1)]
        else:
            raise ConfigError(
                f"{key}: a grid takes lists, choice() and range(); write the values, or take "
                "hydra.sweeper.sampler=tpe"
            )
    return grid


def written(params: dict[str, Any]) -> list[str]:
    """A trial's parameters as overrides."""
    return [f"{key}={value}" for key, value in params.items()]


def _distribution(override: Override, config: DictConfig) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    sweep = override.value()
    line = override.input_line
    if isinstance(sweep, IntervalSweep):
        low, high, log = interval_of(override, config)
        if isinstance(low, int) and isinstance(high, int):
            return IntDistribution(low, high, log=log)
        return FloatDistribution(float(low), float(high), log=log)
    if isinstance(sweep, RangeSweep):
        values = [float(value) for value in override.sweep_string_iterator()]
        if not values:
            raise ConfigError(f"{line}: an empty range")
        step = sweep.step
        if all(isinstance(n, int) for n in (sweep.start, sweep.stop, step)) and step > 0:
            return IntDistribution(int(values[0]), int(values[-1]), step=int(step))
        if step > 0:
            return FloatDistribution(values[0], values[-1], step=float(step))
    # As words: they are written into overrides, where a word names a choice of a group as well.
    return CategoricalDistribution(list(override.sweep_string_iterator()))
