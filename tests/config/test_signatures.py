"""Signatures read from source alone are those that Python has once the module is imported."""

import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from unrolled.config.build import object_at
from unrolled.config.locations import config_directory
from unrolled.config.signatures import Signature, read_signature, signature_of
from unrolled.errors import ConfigError

OURS = sorted(
    str(OmegaConf.to_container(OmegaConf.load(path))["_target_"])  # type: ignore[call-overload,index]
    for group in ("cell", "task", "dataset", "tokenizer", "scheduler", "optimizer")
    for path in config_directory().glob(f"{group}/*.yaml")
    if path.stem not in ("custom", "none")
)


@pytest.fixture(autouse=True)
def _modules_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path.cwd()))


@pytest.mark.parametrize("target", OURS)
def test_every_choice_is_read_as_python_has_it(target: str) -> None:
    read, there = read_signature(target), signature_of(object_at(target))
    assert read is not None
    assert (read.name, [*read.parameters], read.required, read.takes_anything) == (
        there.name,
        [*there.parameters],
        there.required,
        there.takes_anything,
    )
    if target.startswith("unrolled.cells."):
        assert read.parameters == there.parameters


MODULE = """
from __future__ import annotations
import dataclasses
import typing as t
from abc import ABC
from enum import Enum
from typing import Literal, Optional
import base_module as b
from base_module import Left, Right, Sizes

raise RuntimeError("reading does not run")
Gate = Literal["sigmoid", "tanh"]

class Kind(Enum):
    soft = 1
    hard = 2

@dataclasses.dataclass
class Sample:
    length: int
    prompt: str | None = None

class Own:
    def __init__(self, first, count: int, *, leak: float = 0.5, gate: Gate = "tanh",
                 kind: Kind = Kind.soft, sample: Sample = None, names: "list[str]" = (),
                 rank: Optional[int] = None, either: t.Union[int, str] = 1, odd: b.Unknown = 0):
        pass

class Inherits(b.Base):
    pass

class Both(Left, Right):
    pass

class Anything:
    def __init__(self, **options): pass

Alias = Inherits

def function(path: str, *, years: tuple[int, int] = (1, 2)): pass

def wrap(one): return one

@wrap
def decorated(path: str): pass

@dataclasses.dataclass
class More(Sample):
    shared: t.ClassVar[int] = 0
    seed: int = 1

class Abstract(ABC): pass

@dataclasses.dataclass
class Concrete(Abstract):
    seed: int
"""
BASE = """
class Base:
    def __init__(self, depth: int): pass
class Root:
    def __init__(self, root: int): pass
class Left(Root): pass
class Right(Root):
    def __init__(self, right: int): pass
class Sizes: pass
"""


def read(name: str) -> Signature | None:
    Path("own_module.py").write_text(MODULE)
    Path("base_module.py").write_text(BASE)
    return read_signature(f"own_module.{name}")


def names(signature: Signature | None) -> list[str]:
    assert signature is not None
    return [*signature.parameters]


def test_annotations_are_types_without_running_the_module() -> None:
    own = read("Own")
    assert own is not None
    types = {name: str(kind) for name, kind in own.parameters.items()}
    assert (types["first"], types["odd"]) == ("typing.Any", "typing.Any")
    assert own.parameters["count"] is int
    assert own.parameters["leak"] is float
    assert types["gate"] == "typing.Literal['sigmoid', 'tanh']"
    assert [*own.parameters["kind"].__members__] == ["soft", "hard"]
    assert names(signature_of(own.parameters["sample"])) == ["length", "prompt"]
    assert (types["names"], types["rank"]) == ("list[str]", "typing.Optional[int]")
    assert types["either"] == "typing.Union[int, str]"
    assert own.required == {"first", "count"}
    assert names(own.without_first(1))[0] == "count"
    assert own.without_first(2).required == set()
    assert "own_module" not in sys.modules


def test_constructors_are_found_where_python_finds_them() -> None:
    assert names(read("Inherits")) == names(read("Alias")) == ["depth"]
    assert names(read("Both")) == ["right"]
    assert names(read("Sizes")) == []
    assert names(read("More")) == ["length", "prompt", "seed"]
    assert names(read("Concrete")) == ["seed"]
    assert names(read("function")) == ["path", "years"]
    anything = read("Anything")
    assert anything is not None
    assert anything.takes_anything


def test_what_only_running_tells_is_left_to_it() -> None:
    assert read("decorated") is None
    assert read_signature("no_such_module.Cell") is None
    assert read_signature("math.floor") is None


def test_annotations_that_nothing_imports_say_nothing() -> None:
    def build(path: "Absent", rows: int) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    assert names(signature_of(build)) == ["path", "rows"]


def test_a_name_that_is_nowhere_in_the_module_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"has no Inherit; did you mean own_module\.Inherits\?"):
        read("Inherit")


def test_a_file_that_is_no_python_is_named_with_its_line() -> None:
    Path("torn_module.py").write_text("import torch\nclass A(:\n    pass\n")
    with pytest.raises(ConfigError, match=r"torn_module\.py, line 2: .*\n  class A\(:"):
        read_signature("torn_module.A")


def test_a_package_is_not_imported_for_what_is_in_it() -> None:
    Path("own_package").mkdir()
    Path("own_package/__init__.py").write_text("raise RuntimeError")
    Path("own_package/cells.py").write_text("from .base import A as B\n")
    Path("own_package/base.py").write_text("class A:\n    def __init__(self, rank: int): ...\n")
    assert names(read_signature("own_package.cells.B")) == ["rank"]
