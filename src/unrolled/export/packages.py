"""What an export needs besides what is always there, asked before anything slow is imported."""

from importlib.util import find_spec

from unrolled.errors import ConfigError


def require_packages(*, onnx: bool) -> None:
    """Refuse an export without its packages.

    Raises:
        ConfigError: one is missing; the message says what to install.
    """
    _require("unrolled export", "export", ["safetensors"])
    if onnx:
        _require("--onnx", "onnx", ["onnx", "onnxscript", "onnxruntime"])


def _require(what: str, extra: str, packages: list[str]) -> None:
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"{what} needs the package{'s' * (len(missing) > 1)} {', '.join(missing)}: "
            f"pip install 'unrolled[{extra}]'"
        )
