"""From a configuration node to the object it names.

A stored configuration may come from somebody else, so a node's ``_target_`` is followed only
inside this package and PyTorch's optimizers, unless the person typed the configuration or named
the module.
"""

import difflib
import importlib
from collections.abc import Callable, Iterable
from typing import Any

from omegaconf import DictConfig, OmegaConf

from unrolled.errors import ConfigError

EVERYTHING = ("",)
OURS = ("unrolled.", "torch.optim.")


def target_of(node: DictConfig, trusted: Iterable[str] = OURS) -> Callable[..., Any]:
    """What ``node._target_`` names.

    Args:
        trusted: prefixes of the names that may be imported besides our own.

    Raises:
        ConfigError: the name is not trusted, or there is no such thing.
    """
    name = str(node._target_)
    if not name.startswith((*OURS, *trusted)):
        raise ConfigError(
            f"the stored configuration names {name}, code outside unrolled; if you trust it, "
            f"say so: --trust {name.partition('.')[0]}"
        )
    module_name, _, attribute = name.rpartition(".")
    if not module_name:
        raise ConfigError(f"{name}: name a module and what is in it, such as my_cells.MyCell")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        # Only the named module itself being absent is the person's mistake; what it imports is
        # not.
        if error.name and f"{module_name}.".startswith(f"{error.name}."):
            raise ConfigError(
                f"{name}: there is no module {error.name}; is its file in the working folder?"
            ) from error
        raise
    if not hasattr(module, attribute):
        near = difflib.get_close_matches(attribute, dir(module), n=1, cutoff=0.5)
        hint = f"; did you mean {module_name}.{near[0]}?" if near else ""
        raise ConfigError(f"{name}: the module {module_name} has no {attribute}{hint}")
    target: Callable[..., Any] = getattr(module, attribute)
    return target


def arguments_of(node: DictConfig, *without: str) -> dict[str, Any]:
    """The node's keys as plain Python values, less ``_target_`` and those named."""
    values = OmegaConf.to_container(node, resolve=True)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items() if key not in ("_target_", *without)}


def build(node: DictConfig, *args: Any, trusted: Iterable[str] = OURS, **extra: Any) -> Any:
    """Call the node's target with the node's keys.

    Raises:
        ConfigError: as ``target_of``, or the target does not take these keys.
    """
    target = target_of(node, trusted)
    return target(*args, **arguments_of(node), **extra)
