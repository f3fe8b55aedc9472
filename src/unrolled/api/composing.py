"""``unrolled.compose``: a configuration before it is trained, composed and checked."""

from typing import TYPE_CHECKING, Any

from unrolled.api.host import host_as_before
from unrolled.api.overrides import Given, override_lines
from unrolled.errors import ConfigError

if TYPE_CHECKING:
    from omegaconf import DictConfig


def compose(
    *overrides: "Given | DictConfig", config_dir: str | None = None, **values: Any
) -> "DictConfig":
    """The whole configuration of one run, every key resolved and checked, as ``unrolled train
    --cfg`` prints it.

    Args:
        overrides: as for ``unrolled.train``.
        config_dir: a folder with config groups of your own.
        values: as for ``unrolled.train``.

    Returns:
        An OmegaConf configuration: keys are attributes, ``OmegaConf.to_yaml`` prints it, and
        ``unrolled.train`` takes it, changed or not.

    Raises:
        ConfigError: an unknown key, choice or type, a missing value, or one out of range; or
            several values for a key, which are ``unrolled.sweep``'s.

    >>> import unrolled
    >>> config = unrolled.compose(cell="gru", model={"hidden_size": 32})
    >>> config.cell.name, config.model.hidden_size, config.dataset.name
    ('gru', 32, 'sotu')
    >>> unrolled.compose("model.hiden_size=32")
    Traceback (most recent call last):
    unrolled.errors.ConfigError: model.hiden_size: no such key; did you mean model.hidden_size?
    """
    with host_as_before():
        return one_config(overrides, values, config_dir)


def one_config(
    given: "tuple[Given | DictConfig, ...]", values: dict[str, Any], config_dir: str | None
) -> "DictConfig":
    """The configuration of a single run.

    Raises:
        ConfigError: as ``compose``.
    """
    from omegaconf import DictConfig

    from unrolled.config.compose import apply_overrides, run_config
    from unrolled.sweeps.expansion import has_open_folds, plan

    several = (
        "they stand for several runs (a sweep of an experiment, or each of some folds); "
        "unrolled.sweep makes them"
    )
    if given and isinstance(given[0], DictConfig):
        config = run_config(given[0])
        rest: list[Given] = []
        for one in given[1:]:
            if isinstance(one, DictConfig):
                raise ConfigError("one composed configuration at most; give overrides after it")
            rest.append(one)
        if lines := override_lines(rest, values, swept=False):
            config = apply_overrides(config, lines)
        if has_open_folds(config):
            raise ConfigError(f"{several}, or give fold=0")
        return config
    lines = override_lines(_without_config(given), values, swept=False)
    planned = plan(lines, config_dir=config_dir)
    if planned.sweep:
        raise ConfigError(f"{' '.join(lines)}: {several}")
    return planned.configs[0]


def _without_config(given: "tuple[Given | DictConfig, ...]") -> list[Given]:
    from omegaconf import DictConfig

    lines: list[Given] = []
    for one in given:
        if isinstance(one, DictConfig):
            raise ConfigError("a composed configuration comes first, and overrides after it")
        lines.append(one)
    return lines
