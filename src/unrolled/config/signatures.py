"""The parameters of a class's or function's constructor, read off its source without running it.

A module of cells or tasks imports torch, which takes seconds; its text is read in milliseconds, so
a misspelt or ill-typed option is refused at once.
"""

import ast
import dataclasses
import difflib
import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Union, get_type_hints

from unrolled.errors import ConfigError

BUILTIN: dict[str, Any] = {
    "int": int, "float": float, "str": str, "bool": bool, "list": list, "dict": dict,
    "tuple": tuple, "List": list, "Dict": dict, "Tuple": tuple, "Sequence": list, "Mapping": dict,
}  # fmt: skip
# A module that writes its own names cannot be read without running it.
DYNAMIC = {"globals", "exec", "eval", "setattr", "__getattr__"}


@dataclass(frozen=True)
class Signature:
    """What can be given to a class or function.

    Attributes:
        name: of the class or function.
        parameters: their annotations, by name; ``Any`` where nothing is said.
        required: those without a default.
        takes_anything: whether it has ``**options``.
    """

    name: str
    parameters: dict[str, Any]
    required: frozenset[str]
    takes_anything: bool = False

    def without_first(self, count: int) -> "Signature":
        """The same without its first ``count`` parameters."""
        left = dict([*self.parameters.items()][count:])
        return dataclasses.replace(self, parameters=left, required=self.required & left.keys())


def signature_of(target: Callable[..., Any]) -> Signature:
    """The signature of a class or function that is imported already."""
    is_class = isinstance(target, type)
    constructor: Any = inspect.getattr_static(target, "__init__") if is_class else target
    if constructor is object.__init__:
        return Signature(target.__name__, {}, frozenset())
    found = [*inspect.signature(constructor).parameters.values()][is_class:]
    hints = get_type_hints(constructor)
    named = [p for p in found if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    return Signature(
        getattr(target, "__name__", str(target)),
        {p.name: hints.get(p.name, Any) for p in named},
        frozenset(p.name for p in named if p.default is p.empty),
        any(p.kind is p.VAR_KEYWORD for p in found),
    )


def read_signature(target: str) -> Signature | None:
    """The signature of what ``target`` names, from its source alone; None where that does not
    tell.

    Raises:
        ConfigError: the file is no Python, or has no such class or function.
    """
    module, _, name = target.rpartition(".")
    try:
        return _Module.find(module).signature(name)
    except (_UnreadableError, RecursionError):
        return None


def find_source(module: str) -> Path | None:
    """The file of a module, found without importing its parents."""
    places = None
    spec = None
    parts = module.split(".")
    for depth in range(len(parts)):
        name = ".".join(parts[: depth + 1])
        found = (finder.find_spec(name, places) for finder in sys.meta_path)
        spec = next((one for one in found if one is not None), None)
        if spec is None:
            return None
        places = spec.submodule_search_locations
    return Path(spec.origin) if spec is not None and spec.origin else None


class _UnreadableError(Exception):
    """The source does not tell without being run."""


@dataclass(frozen=True)
class _Definition:
    """The statement that defines a class or function, and the module that it is in."""

    module: "_Module"
    node: ast.ClassDef | ast.FunctionDef


class _Module:
    """The text of a module: what its names stand for."""

    def __init__(self, name: str, path: Path, tree: ast.Module) -> None:
        self.name, self.path, self.tree = name, path, tree
        # The last statement of the module itself that gives a name its meaning.
        self.bound = {name: node for node in tree.body for name in _binds(node)}

    @staticmethod
    def find(name: str) -> "_Module":
        path = find_source(name) if name else None
        if path is None or path.suffix != ".py":
            raise _UnreadableError
        return _parse(name, path, path.stat().st_mtime_ns)

    def signature(self, name: str) -> Signature:
        self._require(name)
        found = self.look_up(name)
        if isinstance(found.node, ast.ClassDef):
            return _of_class(found)
        return found.module.of_function(name, found.node, skip=0)

    def look_up(self, name: str) -> _Definition:
        """What defines a name of the module, followed through imports."""
        node = self.bound.get(name)
        if isinstance(node, ast.ClassDef) or (
            # A decorator may have made another function of it.
            isinstance(node, ast.FunctionDef) and not node.decorator_list
        ):
            return _Definition(self, node)
        if isinstance(node, ast.ImportFrom):
            alias = next(a for a in node.names if (a.asname or a.name) == name)
            return _Module.find(self._absolute(node)).look_up(alias.name)
        if isinstance(node, ast.Assign):
            return self.resolve(node.value)
        raise _UnreadableError

    def resolve(self, node: ast.expr) -> _Definition:
        """What defines what an expression names."""
        if isinstance(node, ast.Name):
            return self.look_up(node.id)
        if isinstance(node, ast.Subscript):
            return self.resolve(node.value)
        if isinstance(node, ast.Attribute):
            return _Module.find(self._module_of(node.value)).look_up(node.attr)
        raise _UnreadableError

    def annotation(self, node: ast.expr | None) -> Any:
        """An annotation as a type; ``Any`` where only running the module would tell."""
        try:
            return self._annotation(node)
        except (_UnreadableError, SyntaxError, TypeError, ValueError, ConfigError):
            return Any

    def _annotation(self, node: ast.expr | None) -> Any:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return self._annotation(ast.parse(node.value, mode="eval").body)
        if isinstance(node, ast.Constant) and node.value is None:
            return None
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            return Union[self.annotation(node.left), self.annotation(node.right)]  # noqa: UP007
        if isinstance(node, ast.Subscript):
            inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            return self._generic(ast.unparse(node.value).rpartition(".")[2], inner)
        if isinstance(node, ast.Name | ast.Attribute):
            last = ast.unparse(node).rpartition(".")[2]
            if last in BUILTIN:
                return BUILTIN[last]
            return self._named(node)
        return Any

    def _named(self, node: ast.Name | ast.Attribute) -> Any:
        """An Enum, a dataclass, or an alias of a type."""
        alias = self.bound.get(node.id) if isinstance(node, ast.Name) else None
        if isinstance(alias, ast.Assign):
            return self.annotation(alias.value)
        return _type(self.resolve(node))

    def _generic(self, origin: str, inner: list[ast.expr]) -> Any:
        if origin == "Literal":
            return Literal[tuple(ast.literal_eval(node) for node in inner)]
        arguments: Any = tuple(map(self.annotation, inner))
        if origin == "Annotated":
            return arguments[0]
        if origin == "tuple" and ast.unparse(inner[-1]) == "...":
            arguments = (arguments[0], ...)
        makers: dict[str, Any] = {"Union": Union, "Optional": Union, **BUILTIN}
        if origin == "Optional":
            arguments = (*arguments, None)
        return makers[origin][arguments] if origin in makers else Any

    def of_function(self, name: str, node: ast.FunctionDef, skip: int) -> Signature:
        arguments = node.args
        positional = [*arguments.posonlyargs, *arguments.args]
        defaults = [None] * (len(positional) - len(arguments.defaults)) + [*arguments.defaults]
        all_of_them = [
            *[*zip(positional, defaults, strict=True)][skip:],
            *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
        ]
        return Signature(
            name,
            {argument.arg: self.annotation(argument.annotation) for argument, _ in all_of_them},
            frozenset(argument.arg for argument, default in all_of_them if default is None),
            arguments.kwarg is not None,
        )

    def fields(self, node: ast.ClassDef) -> Signature:
        """What a dataclass's own fields give its constructor."""
        own = [
            s for s in node.body if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name)
        ]
        names = {s: s.target.id for s in own if isinstance(s.target, ast.Name)}
        return Signature(
            node.name,
            {names[s]: self.annotation(s.annotation) for s in own},
            frozenset(names[s] for s in own if s.value is None),
        )

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        package = self.name.split(".")
        package = package if self.path.stem == "__init__" else package[:-1]
        base = package[: len(package) - (node.level - 1)]
        return ".".join([*base, *([node.module] if node.module else [])])

    def _module_of(self, node: ast.expr) -> str:
        """The module that an expression names, such as the ``nn`` of ``nn.Module``."""
        name = ast.unparse(node)
        statement = self.bound.get(name.partition(".")[0])
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                if alias.asname == name:
                    return alias.name
            return name
        if isinstance(statement, ast.ImportFrom) and "." not in name:
            alias = next(a for a in statement.names if (a.asname or a.name) == name)
            return f"{self._absolute(statement)}.{alias.name}"
        raise _UnreadableError

    def _require(self, name: str) -> None:
        """Refuse a name that the module has nowhere."""
        there = {n for node in ast.walk(self.tree) for n in (*_binds(node), *_names(node))}
        if name not in there and not there & (DYNAMIC | {"*"}):
            near = difflib.get_close_matches(name, [*self.bound], n=1, cutoff=0.5)
            hint = f"; did you mean {self.name}.{near[0]}?" if near else ""
            raise ConfigError(
                f"{self.name}.{name}: the module {self.name} has no {name}{hint} ({self.path})"
            )


@lru_cache(maxsize=256)
def _parse(name: str, path: Path, changed: int) -> _Module:
    try:
        return _Module(name, path, ast.parse(path.read_bytes(), filename=str(path)))
    except SyntaxError as error:
        raise ConfigError(
            f"{path}, line {error.lineno}: {error.msg}\n  {(error.text or '').strip()}"
        ) from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from error


def _of_class(found: _Definition) -> Signature:
    """The signature of the constructor that a class has or inherits."""
    fields: list[Signature] = []
    name = found.node.name
    constructs = any(getattr(statement, "name", "") == "__init__" for statement in found.node.body)
    for one in [found] if constructs else _ancestors(found):
        if one is None or not isinstance(one.node, ast.ClassDef):
            raise _UnreadableError
        for statement in [] if fields else one.node.body:
            if isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
                if statement.decorator_list:
                    raise _UnreadableError
                return one.module.of_function(name, statement, skip=1)
        decorators = [ast.unparse(decorator) for decorator in one.node.decorator_list]
        if any(d.partition("(")[0].rpartition(".")[2] == "dataclass" for d in decorators):
            fields.insert(0, one.module.fields(one.node))
        elif decorators:
            raise _UnreadableError
    parameters = {key: kind for each in fields for key, kind in each.parameters.items()}
    return Signature(name, parameters, frozenset(k for each in fields for k in each.required))


def _ancestors(found: _Definition) -> list[_Definition | None]:
    """The class and what it inherits from, in the order in which Python looks; None for a base
    whose source does not tell."""
    order: list[_Definition | None] = [found]
    for base in found.node.bases if isinstance(found.node, ast.ClassDef) else ():
        try:
            order += _ancestors(found.module.resolve(base))
        except _UnreadableError:
            order.append(None)
    # What several inherit from comes after all of them.
    return [one for place, one in enumerate(order) if one not in order[place + 1 :]]


def _type(found: _Definition) -> Any:
    """An Enum or a dataclass with the names and types that the source has; ``Any`` for others."""
    if not isinstance(found.node, ast.ClassDef):
        return Any
    bases = [ast.unparse(base).rpartition(".")[2] for base in found.node.bases]
    if any(base.endswith("Enum") for base in bases):
        values = {
            target.id: ast.literal_eval(statement.value)
            for statement in found.node.body
            if isinstance(statement, ast.Assign)
            for target in statement.targets
            if isinstance(target, ast.Name)
        }
        return Enum(found.node.name, values)
    if any("dataclass" in ast.unparse(one) for one in found.node.decorator_list):
        signature = _of_class(found)
        required = signature.required
        fields = [
            (name, kind) if name in required else (name, kind, dataclasses.field(default=None))
            for name, kind in signature.parameters.items()
        ]
        return dataclasses.make_dataclass(signature.name, fields, kw_only=True)
    return Any


def _binds(node: ast.AST) -> Iterator[str]:
    """The names that a statement gives a meaning."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        yield node.name
    elif isinstance(node, ast.Import | ast.ImportFrom):
        yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)
    elif isinstance(node, ast.Assign):
        yield from (target.id for target in node.targets if isinstance(target, ast.Name))
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        yield node.target.id


def _names(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Name):
        yield node.id
