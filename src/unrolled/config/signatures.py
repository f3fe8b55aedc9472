"""The parameters of a class's or function's constructor, read off its source without running it.

A module of cells or tasks imports torch, which takes seconds; its text is read in milliseconds, so
a misspelt or ill-typed option is refused at once.
"""

import ast
import dataclasses
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Any, Literal, Union, get_type_hints

from unrolled.config.sources import Definition, Module, UnreadableError
from unrolled.errors import ConfigError

TYPES: dict[str, Any] = {
    "int": int, "float": float, "str": str, "bool": bool, "list": list, "dict": dict,
    "tuple": tuple, "List": list, "Dict": dict, "Tuple": tuple, "Sequence": list, "Mapping": dict,
}  # fmt: skip


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
    try:
        hints = get_type_hints(constructor)
    except (NameError, AttributeError, TypeError):
        # Annotations may name what only a type checker imports.
        hints = {}
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
    # This package does not change while it runs; a person's own file may, in a notebook.
    return _read_once(target) if target.startswith("unrolled.") else _read(target)


def _read(target: str) -> Signature | None:
    name, _, attribute = target.rpartition(".")
    try:
        module = Module.find(name)
        module.require(attribute)
        found = module.look_up(attribute)
        if isinstance(found.node, ast.ClassDef):
            return _of_class(found)
        return _of_function(found.module, attribute, found.node, skip=0)
    except (UnreadableError, RecursionError):
        return None


_read_once = cache(_read)


def _of_function(module: Module, name: str, node: ast.FunctionDef, skip: int) -> Signature:
    arguments = node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(positional) - len(arguments.defaults)) + [*arguments.defaults]
    every = [
        *[*zip(positional, defaults, strict=True)][skip:],
        *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
    ]
    return Signature(
        name,
        {argument.arg: _annotation(module, argument.annotation) for argument, _ in every},
        frozenset(argument.arg for argument, default in every if default is None),
        arguments.kwarg is not None,
    )


def _of_class(found: Definition) -> Signature:
    """The signature of the constructor that a class has or inherits."""
    name = found.node.name
    fields: list[Signature] = []
    constructs = any(getattr(statement, "name", "") == "__init__" for statement in found.node.body)
    for one in [found] if constructs else _ancestors(found):
        if one is None or not isinstance(one.node, ast.ClassDef):
            raise UnreadableError
        for statement in [] if fields else one.node.body:
            if isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
                if statement.decorator_list:
                    raise UnreadableError
                return _of_function(one.module, name, statement, skip=1)
        if _is_dataclass(one.node):
            fields.insert(0, _of_fields(one.module, one.node))
        elif one.node.decorator_list:
            raise UnreadableError
    parameters = {key: kind for each in fields for key, kind in each.parameters.items()}
    return Signature(name, parameters, frozenset(k for each in fields for k in each.required))


def _ancestors(found: Definition) -> list[Definition | None]:
    """The class and what it inherits from, in the order in which Python looks; None for a base
    whose source does not tell."""
    order: list[Definition | None] = [found]
    for base in found.node.bases if isinstance(found.node, ast.ClassDef) else ():
        if ast.unparse(base).rpartition(".")[2] == "ABC":
            # Python has it built in, without source; it constructs nothing.
            continue
        try:
            order += _ancestors(found.module.resolve(base))
        except UnreadableError:
            order.append(None)
    # What several inherit from comes after all of them.
    return [one for place, one in enumerate(order) if one not in order[place + 1 :]]


def _of_fields(module: Module, node: ast.ClassDef) -> Signature:
    """What a dataclass's own fields give its constructor."""
    own = {
        statement.target.id: statement
        for statement in node.body
        if isinstance(statement, ast.AnnAssign)
        and isinstance(statement.target, ast.Name)
        and "ClassVar" not in ast.unparse(statement.annotation)
    }
    return Signature(
        node.name,
        {name: _annotation(module, statement.annotation) for name, statement in own.items()},
        frozenset(name for name, statement in own.items() if statement.value is None),
    )


def _is_dataclass(node: ast.ClassDef) -> bool:
    names = [ast.unparse(decorator).partition("(")[0] for decorator in node.decorator_list]
    return any(name.rpartition(".")[2] == "dataclass" for name in names)


def _annotation(module: Module, node: ast.expr | None) -> Any:
    """An annotation as a type; ``Any`` where only running the module would tell."""
    try:
        return _type(module, node)
    except (UnreadableError, SyntaxError, TypeError, ValueError, ConfigError):
        return Any


def _type(module: Module, node: ast.expr | None) -> Any:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return _type(module, ast.parse(node.value, mode="eval").body)
    if isinstance(node, ast.Constant) and node.value is None:
        return None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        left, right = _annotation(module, node.left), _annotation(module, node.right)
        return Union[left, right]  # noqa: UP007 - two values, not two types
    if isinstance(node, ast.Subscript):
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        return _generic(module, ast.unparse(node.value).rpartition(".")[2], inner)
    if not isinstance(node, ast.Name | ast.Attribute):
        return Any
    last = ast.unparse(node).rpartition(".")[2]
    if last in TYPES:
        return TYPES[last]
    alias = module.bound.get(node.id) if isinstance(node, ast.Name) else None
    if isinstance(alias, ast.Assign):
        return _annotation(module, alias.value)
    return _own_type(module.resolve(node))


def _generic(module: Module, origin: str, inner: list[ast.expr]) -> Any:
    if origin == "Literal":
        return Literal[tuple(ast.literal_eval(node) for node in inner)]
    arguments: Any = tuple(_annotation(module, node) for node in inner)
    if origin == "Annotated":
        return arguments[0]
    if origin == "tuple" and ast.unparse(inner[-1]) == "...":
        arguments = (arguments[0], ...)
    if origin == "Optional":
        arguments = (*arguments, None)
    makers: dict[str, Any] = {"Union": Union, "Optional": Union, **TYPES}
    return makers[origin][arguments] if origin in makers else Any


def _own_type(found: Definition) -> Any:
    """An Enum or a dataclass with the names and types that the source has; ``Any`` for others."""
    if not isinstance(found.node, ast.ClassDef):
        return Any
    if any(ast.unparse(base).endswith("Enum") for base in found.node.bases):
        values = {
            target.id: ast.literal_eval(statement.value)
            for statement in found.node.body
            if isinstance(statement, ast.Assign)
            for target in statement.targets
            if isinstance(target, ast.Name)
        }
        return Enum(found.node.name, values)
    if not _is_dataclass(found.node):
        return Any
    signature = _of_class(found)
    fields = [
        (name, kind)
        if name in signature.required
        else (name, kind, dataclasses.field(default=None))
        for name, kind in signature.parameters.items()
    ]
    return dataclasses.make_dataclass(signature.name, fields, kw_only=True)
