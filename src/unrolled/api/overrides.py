"""What a person gives from Python, as overrides in Hydra's syntax: the command's own input."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from unrolled.config.build import OURS
from unrolled.config.overrides import quoted
from unrolled.config.schema import BUILT
from unrolled.errors import ConfigError

Given = str | Sequence[str] | Mapping[str, Any]
# Text that Hydra reads as it stands; the words below it would read as something else.
_PLAIN = re.compile(r"[A-Za-z_][\w./-]*")
_WORDS = {"null", "true", "false", "nan", "inf"}


def override_lines(given: Iterable[Given], values: Mapping[str, Any], *, swept: bool) -> list[str]:
    """All overrides, a line each.

    Args:
        given: lines such as ``cell=gru``, lists of them, or mappings from keys to values.
        values: the same as keywords; a mapping in it has the keys of a group.
        swept: whether a list is several values; otherwise it is one.

    Raises:
        ConfigError: a value that no configuration can have.
    """
    lines: list[str] = []
    for one in given:
        if isinstance(one, Mapping):
            lines += _written(one, swept)
        elif isinstance(one, str):
            lines.append(one)
        elif isinstance(one, Sequence) and all(isinstance(line, str) for line in one):
            lines += one
        else:
            raise ConfigError(
                f"{one!r}: an override is a text such as 'cell=gru', or a mapping such as "
                "{'cell': 'gru'}"
            )
    return lines + _written(values, swept)


def _written(values: Mapping[str, Any], swept: bool) -> list[str]:
    return [line for key, value in values.items() for line in _lines(str(key), value, swept)]


def _lines(key: str, value: Any, swept: bool) -> Iterator[str]:
    if isinstance(value, Mapping):
        new = _new_keys(key, value)
        for name, inner in value.items():
            yield from _lines(f"{'+' * (name in new)}{key}.{name}", inner, swept)
    elif swept and isinstance(value, list | tuple | range):
        if not value:
            raise ConfigError(f"{key}: an empty list, and a sweep needs values")
        classes = [one for one in value if callable(one)]
        if classes and len(classes) < len(value):
            raise ConfigError(
                f"{key}: classes and names together; name all by their classes, such as "
                "unrolled.cells.lstm.LSTM"
            )
        key = _target_key(key) if classes else key
        yield f"{key}={','.join(_text(key, one) for one in value)}"
    else:
        yield f"{_target_key(key) if callable(value) else key}={_text(key, value)}"


def _new_keys(group: str, values: Mapping[str, Any]) -> set[str]:
    """The keys of a group that a class or function of the person's own adds to it."""
    target = values.get("_target_")
    if target is None or group not in BUILT:
        return set()
    name = _name(group, target) if callable(target) else str(target)
    common = {field.name for field in fields(BUILT[group].common)}
    return set() if name.startswith(OURS) else {*values} - common


def _target_key(key: str) -> str:
    return key if key.endswith("._target_") else f"{key}._target_"


def _name(key: str, target: Any) -> str:
    """Where a class or function can be imported from."""
    module, name = getattr(target, "__module__", None), getattr(target, "__qualname__", "")
    if module == "__main__":
        raise ConfigError(
            f"{key}: {name} is defined in the notebook or script itself, where no other process "
            f"and no later program finds it; put it into a file, such as my_cells.py, and import "
            "it from there"
        )
    if not module or not name.isidentifier():
        raise ConfigError(f"{key}: {target!r} has no name that it can be imported by")
    return f"{module}.{name}"


def _text(key: str, value: Any) -> str:
    """One value in Hydra's syntax."""
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        # A number of NumPy's, or of a tensor.
        value = value.item()
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        return repr(float(value)) if math.isfinite(value) else str(value)
    if isinstance(value, list | tuple | range):
        return f"[{','.join(_text(key, one) for one in value)}]"
    if callable(value):
        return _name(key, value)
    if isinstance(value, str | Path):
        text = str(value)
        plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS
        return text if plain else quoted(text)
    raise ConfigError(
        f"{key}: {type(value).__name__} is nothing that a configuration can hold; give a number, "
        "a text, a list or a mapping"
    )
