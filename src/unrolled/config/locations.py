"""Where the control panel is: beside the code in a checkout, inside the package when installed."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def config_directory() -> Path:
    """The folder with ``train.yaml`` and the config groups."""
    return _find("conf")


def experiments_directory() -> Path:
    """The folder with one folder per study."""
    return _find("experiments")


def _find(name: str) -> Path:
    installed = _PACKAGE / name
    return installed if installed.is_dir() else _PACKAGE.parents[1] / name
