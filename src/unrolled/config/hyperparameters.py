"""Values as the annotations of a constructor have them: the one place where a type is checked."""

import dataclasses
import difflib
from collections.abc import Callable, Mapping
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from unrolled.config.signatures import Signature, signature_of
from unrolled.errors import ConfigError

PLAIN = (int, float, str, bool)
# The words for truth that YAML knows.
TRUTH = {
    **dict.fromkeys(("true", "yes", "on", "y", 1), True),
    **dict.fromkeys(("false", "no", "off", "n", 0), False),
}


def typed_arguments(
    target: Callable[..., Any], values: Mapping[str, Any], group: str, *, given: int = 0
) -> dict[str, Any]:
    """``values`` as the constructor's annotations have them, ready to be given to it.

    Args:
        group: what the keys are called in a configuration.
        given: how many of the constructor's first arguments are not configured.

    Raises:
        ConfigError: a key that the constructor does not take, one that it needs, or a value of
            another type.
    """
    signature = signature_of(target).without_first(given)
    typed = typed_values(values, signature, group)
    return {key: _built(value, signature.parameters.get(key)) for key, value in typed.items()}


def typed_values(values: Mapping[str, Any], signature: Signature, group: str) -> dict[str, Any]:
    """``values`` as plain data of the types that ``signature`` has; choices stay words.

    Raises:
        ConfigError: as ``typed_arguments``.
    """
    parameters = signature.parameters
    for key in values:
        if key not in parameters and not signature.takes_anything:
            near = difflib.get_close_matches(key, parameters, n=1, cutoff=0.5)
            hint = f"; did you mean {group}.{near[0]}?" if near else ""
            has = ", ".join(parameters) or "none"
            raise ConfigError(
                f"{group}.{key}: {signature.name} has no such hyperparameter{hint} (it has: {has})"
            )
    for key in parameters:
        if key in signature.required and key not in values:
            raise ConfigError(
                f"{group}.{key} is needed by {signature.name}: give +{group}.{key}=…"
            )
    return {
        key: typed_value(value, parameters.get(key, Any), f"{group}.{key}")
        for key, value in values.items()
    }


def typed_value(value: Any, annotation: Any, key: str) -> Any:
    """``value`` as plain data of the type ``annotation``.

    A whole number serves as a fraction and ``1e3`` as a whole number; a number serves as text; a
    word as the name of an Enum's member, and ``yes`` as truth.

    Raises:
        ConfigError: it is something else; the message says what is allowed.
    """
    if isinstance(value, Enum):
        value = value.name
    union = get_origin(annotation) in (Union, UnionType)
    members = get_args(annotation) if union else (annotation,)
    for convert in (_exact, _converted):
        for member in members:
            found = convert(value, member, key)
            if found is not _NO:
                return found
    if not all(map(_is_known, members)):
        # What YAML knows nothing of is the constructor's to judge.
        return value
    allowed = " or ".join(name for member in members for name in _names(member))
    raise ConfigError(f"{key}={written(value)}: must be {allowed}")


def written(value: Any) -> str:
    """A value as it is typed in an override."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


_NO: Any = object()


def _exact(value: Any, member: Any, key: str) -> Any:
    """The value if it is of the type already."""
    if get_origin(member) is Literal:
        same = any(value == one and type(value) is type(one) for one in get_args(member))
        return value if same else _NO
    if member in (None, NoneType):
        return value if value is None else _NO
    if isinstance(member, type) and issubclass(member, Enum):
        return value if value in member.__members__ else _NO
    return value if member in PLAIN and type(value) is member else _NO


def _converted(value: Any, member: Any, key: str) -> Any:
    """The value turned into the type, where nothing is lost by it."""
    kind = get_origin(member) or member
    if kind in (list, tuple) and isinstance(value, list | tuple):
        inner = get_args(member) or (Any, ...)
        each = inner[0] if kind is list or inner[-1] is ... else None
        kinds = [each] * len(value) if each is not None else [*inner]
        if len(kinds) != len(value):
            raise ConfigError(f"{key}={[*value]}: must be a list of {len(kinds)} values")
        return [typed_value(v, k, key) for v, k in zip(value, kinds, strict=True)]
    if kind is dict and isinstance(value, Mapping):
        inner = (get_args(member) or (Any, Any))[1]
        return {name: typed_value(one, inner, f"{key}.{name}") for name, one in value.items()}
    if dataclasses.is_dataclass(kind) and isinstance(kind, type) and isinstance(value, Mapping):
        return typed_values(value, signature_of(kind), key)
    if kind is bool and isinstance(value, str | int):
        return TRUTH.get(value.lower() if isinstance(value, str) else value, _NO)
    return _number_or_text(value, kind) if kind in PLAIN else _NO


def _number_or_text(value: Any, kind: type) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return _NO
    if kind is str:
        return str(value)
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return _NO
    if kind is float:
        return number
    if isinstance(value, str) and value.lstrip("+-").isdigit():
        return int(value)
    return int(number) if number.is_integer() else _NO


def _is_known(member: Any) -> bool:
    kind = get_origin(member) or member
    return (
        kind in (*PLAIN, None, NoneType, Literal, list, tuple, dict)
        or dataclasses.is_dataclass(kind)
        or (isinstance(kind, type) and issubclass(kind, Enum))
    )


def _names(member: Any) -> list[str]:
    """What a person may write for the type."""
    kind = get_origin(member) or member
    if kind in (None, NoneType):
        return ["null"]
    if kind is Literal:
        return [str(value) for value in get_args(member)]
    if isinstance(kind, type) and issubclass(kind, Enum):
        return [*kind.__members__]
    if kind in (list, tuple):
        return ["a list"]
    return ["a mapping"] if kind not in PLAIN else [kind.__name__]


def _built(value: Any, annotation: Any) -> Any:
    """A typed value as the constructor takes it: a word as its Enum's member, a mapping as its
    dataclass."""
    for member in get_args(annotation) or (annotation,):
        if not isinstance(member, type):
            continue
        if issubclass(member, Enum) and isinstance(value, str) and value in member.__members__:
            return member[value]
        if dataclasses.is_dataclass(member) and isinstance(value, Mapping):
            fields = signature_of(member).parameters
            return member(**{key: _built(one, fields[key]) for key, one in value.items()})
    return value
