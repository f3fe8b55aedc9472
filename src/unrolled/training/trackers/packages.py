"""Which trackers a configuration chose, and whether their packages are there; without torch."""

from importlib.util import find_spec

from omegaconf import DictConfig

from unrolled.errors import ConfigError

# By the key that switches one on: the module that it needs, which is an extra of the same name.
MODULES = {"wandb": "wandb", "mlflow": "mlflow", "comet": "comet_ml"}


def chosen(config: DictConfig) -> list[str]:
    """The trackers that ``config.logger`` switches on."""
    return [name for name in MODULES if config.logger[name]]


def require_packages(config: DictConfig) -> None:
    """Refuse a run whose tracker is not installed.

    Raises:
        ConfigError: which, and what installs it.
    """
    for name in chosen(config):
        if find_spec(MODULES[name]) is None:
            raise ConfigError(
                f"logger={name}: the package {MODULES[name]} is not installed: "
                f"pip install 'unrolled[{name}]', or take another logger"
            )
