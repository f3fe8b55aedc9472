"""A whole configuration, each value of its type: composed or stored, it goes through here."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, cast, get_args

from omegaconf import DictConfig, OmegaConf

from unrolled.config.build import OURS, object_at, require_name
from unrolled.config.hints import nearest_key
from unrolled.config.hyperparameters import typed_value, typed_values
from unrolled.config.schema import BUILT, WITHOUT_TARGET, Config
from unrolled.config.signatures import Signature, read_signature, signature_of
from unrolled.errors import ConfigError


def typed(values: Mapping[str, Any], *, read_own: bool = True) -> dict[str, Any]:
    """``values`` as plain data of the types that the schema and the constructors have, choices as
    words.

    Args:
        values: a resolved configuration.
        read_own: whether the code of a class outside this package is looked at; without it, its
            options stay as they are.

    Raises:
        ConfigError: an unknown key, one that is missing, or a value of another type.
    """
    result: dict[str, Any] = {}
    _require_keys(values, Config, "")
    annotation: Any
    for key, annotation in signature_of(Config).parameters.items():
        value: Any = values.get(key)
        if key in BUILT or is_dataclass(annotation):
            if not isinstance(value, Mapping):
                raise ConfigError(f"{key}={value}: a choice of a group has several keys")
            if key in BUILT:
                result[key] = _typed_node(value, key, read_own)
                continue
            _require_keys(value, cast(type, annotation), f"{key}.")
        result[key] = typed_value(value, annotation, key)
    return result


def takes_whole_numbers(config: DictConfig, key: str) -> bool:
    """Whether a key takes whole numbers and no fractions."""
    group, _, name = key.lstrip("+").partition(".")
    annotation: Any = signature_of(Config).parameters.get(group, Any)
    if group in BUILT:
        target = OmegaConf.select(config, f"{group}._target_")
        annotation = _parameters(group, str(target), read_own=True).get(name, Any)
    elif is_dataclass(annotation):
        annotation = signature_of(cast(type, annotation)).parameters.get(name, Any)
    members = get_args(annotation) or (annotation,)
    return int in members and float not in members


def _typed_node(values: Mapping[str, Any], group: str, read_own: bool) -> dict[str, Any]:
    """A node that names what it builds: the keys that all choices have, then its own."""
    common = signature_of(BUILT[group].common)
    shared = {key: value for key, value in values.items() if key in common.parameters}
    options = {key: value for key, value in values.items() if key not in common.parameters}
    if "name" not in shared:
        raise ConfigError(f"{group}.name is needed: what the choice is called")
    shared = typed_values(shared, common, group)
    target = shared.get("_target_")
    if target is None:
        if group not in WITHOUT_TARGET:
            raise ConfigError(f"{group}._target_ is needed: what the choice builds")
        options = typed_values(options, Signature(str(values["name"]), {}, frozenset()), group)
    elif (signature := _constructor(group, target, read_own)) is not None:
        needed = signature.required - shared.keys()
        given = options
        options = typed_values(options, replace(signature, required=needed), group)
        if group == "cell" and not target.startswith(OURS):
            # A run's name is made of its configuration; those of cells of one's own have a whole
            # number where one was typed for a fraction, and its constructor gets the fraction.
            options |= {key: value for key, value in given.items() if type(value) is int}
    absent = {f.name: f.default for f in fields(BUILT[group].common) if f.name not in shared}
    absent.pop("_target_", None)
    return {key: {**shared, **options}[key] for key in values} | absent


def _constructor(group: str, target: str, read_own: bool) -> Signature | None:
    """What ``target`` takes of a configuration; None where that is found out when it is built."""
    if not target.startswith(OURS):
        require_name(target)
        if not read_own:
            return None
    signature = read_signature(target)
    if signature is None and target.startswith("unrolled."):
        raise ConfigError(f"{group}._target_={target}: there is nothing of this name in unrolled")
    if signature is None and not target.startswith(OURS):
        try:
            signature = signature_of(object_at(target))
        except (TypeError, ValueError):
            # Python knows no parameters of what is written in C.
            return None
    return signature and signature.without_first(BUILT[group].given)


def _parameters(group: str, target: str, read_own: bool) -> Mapping[str, Any]:
    signature = _constructor(group, target, read_own)
    own = signature.parameters if signature is not None else {}
    return {**own, **signature_of(BUILT[group].common).parameters}


def _require_keys(values: Mapping[str, Any], schema: type, prefix: str) -> None:
    """Refuse keys that the schema lacks, and the lack of keys that it has."""
    signature = signature_of(schema)
    names = [f"{prefix}{name}" for name in signature.parameters]
    for key in values:
        if key not in signature.parameters:
            name = f"{prefix}{key}"
            raise ConfigError(f"{name}: no such key{nearest_key(name, names)}")
    for key in signature.parameters:
        if key in signature.required and key not in values:
            raise ConfigError(f"{prefix}{key} is missing, and has no default")
