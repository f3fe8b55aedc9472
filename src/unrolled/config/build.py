"""From a configuration node to the object it names.

A stored configuration may come from somebody else, so a node's ``_target_`` is followed only
inside this package and PyTorch's optimizers, unless the person typed the configuration or named
the module.
"""

import difflib
import importlib
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterable
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

from omegaconf import DictConfig, OmegaConf

from unrolled.config.hyperparameters import typed_arguments
from unrolled.config.plugins import plugin_of
from unrolled.config.schema import BUILT
from unrolled.config.signatures import signature_of
from unrolled.config.sources import find_source, syntax_error
from unrolled.errors import ConfigError, UnrolledError

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
        module = name.partition(".")[0]
        plugin = plugin_of(module)
        if plugin is None and _is_library(module):
            raise ConfigError(
                f"the stored configuration names {name}, which is part of a library and no cell, "
                "task or data set of a module of one's own; it is not followed"
            )
        where = f"of {plugin}" if plugin else "code outside unrolled"
        raise ConfigError(
            f"the stored configuration names {name}, {where}; if you trust it, say so: "
            f'--trust {module}, in Python trust="{module}"'
        )
    return object_at(name)


def object_at(name: str) -> Callable[..., Any]:
    """Import what a name stands for.

    Raises:
        ConfigError: there is no such thing, it cannot be called, or its module cannot be imported;
            the message has the line of the person's own file.
    """
    require_name(name)
    module_name, _, attribute = name.rpartition(".")
    module = _imported(module_name, name)
    if not hasattr(module, attribute):
        near = difflib.get_close_matches(attribute, dir(module), n=1, cutoff=0.5)
        hint = f"; did you mean {module_name}.{near[0]}?" if near else ""
        where = getattr(module, "__file__", None)
        raise ConfigError(
            f"{name}: the module {module_name} has no {attribute}{hint}"
            + (f" ({where})" if where else "")
        )
    target: Callable[..., Any] = getattr(module, attribute)
    if not callable(target):
        raise ConfigError(f"{name}: a {type(target).__name__}, which builds nothing")
    return target


def require_name(name: str) -> None:
    """Refuse a name that no class or function of one's own can have.

    Raises:
        ConfigError: it names no module, or one of Python's.
    """
    module = name.rpartition(".")[0]
    if not module:
        raise ConfigError(f"{name}: name a module and what is in it, such as my_cells.MyCell")
    if module.partition(".")[0] in sys.stdlib_module_names:
        raise ConfigError(f"{name}: {module} is part of Python; call a file of your own otherwise")


def arguments_of(node: DictConfig, *without: str) -> dict[str, Any]:
    """The node's keys as plain Python values, less ``_target_`` and those named."""
    values = OmegaConf.to_container(node, resolve=True)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items() if key not in ("_target_", *without)}


def build(node: DictConfig, *args: Any, trusted: Iterable[str] = OURS, **extra: Any) -> Any:
    """Call the node's target with ``args``, the node's keys and ``extra``. Of the keys that every
    choice of the group has, such as its name, it gets those that it takes.

    Raises:
        ConfigError: as ``target_of``, or the target does not take these keys.
    """
    target = target_of(node, trusted)
    signature = signature_of(target)
    group = str(node._key())
    common = {field.name for field in fields(BUILT[group].common)} if group in BUILT else set()
    unwanted = set() if signature.takes_anything else common - signature.parameters.keys()
    values = {**arguments_of(node, *unwanted), **extra}
    return target(*args, **typed_arguments(target, values, group, given=len(args)))


def _imported(module: str, name: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        # The named module itself is absent, or something that it imports.
        if error.name and f"{module}.".startswith(f"{error.name}."):
            raise ConfigError(
                f"{name}: there is no module {error.name}; is its file in the working folder?"
            ) from error
        raise _import_error(module, name, error) from error
    except (Exception, SystemExit) as error:
        raise _import_error(module, name, error) from error


def _import_error(module: str, name: str, error: BaseException) -> ConfigError:
    """What went wrong in the person's own file, with its line."""
    said = f"{type(error).__name__}: {error}".splitlines()[0].rstrip(": ")
    if isinstance(error, UnrolledError):
        # It says all there is to say.
        said = str(error)
    if isinstance(error, SyntaxError):
        return ConfigError(syntax_error(error))
    origin = find_source(module)
    own = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if origin is not None and Path(frame.filename).parent == origin.parent
    ]
    if not own:
        return ConfigError(f"{name}: its module cannot be imported: {said}")
    where = own[-1]
    return ConfigError(f"{where.filename}, line {where.lineno}: {said}\n  {where.line}")


def _is_library(module: str) -> bool:
    """Whether a module is Python's own, or was installed, and so is no person's own file."""
    if module in sys.stdlib_module_names:
        return True
    origin = find_source(module)
    places = {Path(sysconfig.get_path(kind)).resolve() for kind in ("purelib", "platlib")}
    return origin is not None and any(origin.resolve().is_relative_to(place) for place in places)
