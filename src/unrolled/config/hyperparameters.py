"""Hyperparameters of a class, typed by its constructor's annotations.

What is in ``conf/`` has its types in the schema; a cell of a person's own has them where it is
written.
"""

import difflib
import inspect
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from unrolled.errors import ConfigError

PLAIN = (int, float, str, bool, NoneType)


def typed_arguments(
    target: type, values: dict[str, Any], group: str, *, given: int
) -> dict[str, Any]:
    """``values`` as the constructor's annotations have them.

    Args:
        group: what the keys are called in a configuration.
        given: how many of the constructor's first arguments are not configured.

    Raises:
        ConfigError: a key that the constructor does not take, one that it needs, or a value of
            another type.
    """
    constructor: Any = inspect.getattr_static(target, "__init__")
    parameters = dict([*inspect.signature(constructor).parameters.items()][1 + given :])
    kinds = {parameter.kind for parameter in parameters.values()}
    if inspect.Parameter.VAR_KEYWORD in kinds:
        return values
    for key in values:
        if key not in parameters:
            near = difflib.get_close_matches(key, parameters, n=1, cutoff=0.5)
            hint = f"; did you mean {group}.{near[0]}?" if near else ""
            has = ", ".join(parameters) or "none"
            raise ConfigError(
                f"{group}.{key}: {target.__name__} has no such hyperparameter{hint} (it has: "
                f"{has})"
            )
    for key, parameter in parameters.items():
        if parameter.default is parameter.empty and key not in values:
            raise ConfigError(
                f"{group}.{key} is needed by {target.__name__}: give +{group}.{key}=…"
            )
    wanted = get_type_hints(constructor)
    return {
        key: _typed(value, wanted.get(key, Any), f"{group}.{key}") for key, value in values.items()
    }


def _typed(value: Any, wanted: Any, key: str) -> Any:
    """``value`` as a member of the annotation ``wanted``.

    A whole number serves as a fraction, too, and a word as the name of an Enum's member.
    """
    if isinstance(value, Enum):
        # The schema's own members are words to a constructor.
        value = value.name
    union = get_origin(wanted) in (Union, UnionType)
    choices = [*map(_choice, get_args(wanted) if union else (wanted,))]
    if None in choices:
        # A type that YAML knows nothing of is left to the constructor.
        return value
    for choice in choices:
        for name, member in (choice or {}).items():
            if isinstance(member, type):
                if type(value) is member:
                    return value
                if member is float and type(value) is int:
                    return float(value)
            elif value == name or (value == member and type(value) is type(member)):
                return member
    names = [name for choice in choices for name in (choice or {})]
    raise ConfigError(f"{key}={value}: must be {' or '.join(map(str, names))}")


def _choice(annotation: Any) -> dict[Any, Any] | None:
    """What an annotation allows, by the name that a person knows it by; a plain type stands for
    all its values. None where it is something else."""
    if annotation in PLAIN or annotation is None:
        kind = NoneType if annotation is None else annotation
        return {"null" if kind is NoneType else kind.__name__: kind}
    if get_origin(annotation) is Literal:
        return {value: value for value in get_args(annotation)}
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return {member.name: member for member in annotation}
    return None
