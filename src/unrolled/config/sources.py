"""Modules as text: what their names stand for, found without importing anything."""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from unrolled.errors import ConfigError

# A module that writes its own names cannot be read without running it.
DYNAMIC = {"*", "globals", "exec", "eval", "setattr", "__getattr__"}


class UnreadableError(Exception):
    """The source does not tell without being run."""


@dataclass(frozen=True)
class Definition:
    """The statement that defines a class or function, and the module that it is in."""

    module: "Module"
    node: ast.ClassDef | ast.FunctionDef


class Module:
    """A module that was parsed.

    Attributes:
        bound: for each name the last statement of the module itself that gives it its meaning.
    """

    def __init__(self, name: str, path: Path, tree: ast.Module) -> None:
        self.name, self.path, self.tree = name, path, tree
        self.bound = {name: node for node in tree.body for name in _binds(node)}

    @staticmethod
    def find(name: str) -> "Module":
        """The module called ``name``.

        Raises:
            UnreadableError: there is no source of it.
            ConfigError: its file is no Python.
        """
        path = find_source(name) if name else None
        if path is None or path.suffix != ".py":
            raise UnreadableError
        return _parse(name, path, path.stat().st_mtime_ns)

    @cached_property
    def names(self) -> set[str]:
        """Every name that the module has anywhere."""
        return {n for node in ast.walk(self.tree) for n in (*_binds(node), *_names(node))}

    def require(self, name: str) -> None:
        """Refuse a name that the module has nowhere.

        Raises:
            ConfigError: the message has the nearest one.
        """
        # What the module itself binds needs no search of all that is in it.
        if name not in self.bound and name not in self.names and not self.names & DYNAMIC:
            import difflib

            near = difflib.get_close_matches(name, [*self.bound], n=1, cutoff=0.5)
            hint = f"; did you mean {self.name}.{near[0]}?" if near else ""
            raise ConfigError(
                f"{self.name}.{name}: the module {self.name} has no {name}{hint} ({self.path})"
            )

    def look_up(self, name: str) -> Definition:
        """What defines a name of the module, followed through imports.

        Raises:
            UnreadableError: it is nothing that the source alone tells.
        """
        node = self.bound.get(name)
        if isinstance(node, ast.ClassDef) or (
            # A decorator may have made another function of it.
            isinstance(node, ast.FunctionDef) and not node.decorator_list
        ):
            return Definition(self, node)
        if isinstance(node, ast.ImportFrom):
            alias = next(a for a in node.names if (a.asname or a.name) == name)
            return Module.find(self._absolute(node)).look_up(alias.name)
        if isinstance(node, ast.Assign):
            return self.resolve(node.value)
        raise UnreadableError

    def resolve(self, node: ast.expr) -> Definition:
        """What defines what an expression names.

        Raises:
            UnreadableError: as ``look_up``.
        """
        if isinstance(node, ast.Name):
            return self.look_up(node.id)
        if isinstance(node, ast.Subscript):
            return self.resolve(node.value)
        if isinstance(node, ast.Attribute):
            return Module.find(self._module_of(node.value)).look_up(node.attr)
        raise UnreadableError

    def _absolute(self, node: ast.ImportFrom) -> str:
        """The full name of the module that a statement imports from."""
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
            return next((a.name for a in statement.names if a.asname == name), name)
        if isinstance(statement, ast.ImportFrom) and "." not in name:
            alias = next(a for a in statement.names if (a.asname or a.name) == name)
            return f"{self._absolute(statement)}.{alias.name}"
        raise UnreadableError


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


@lru_cache(maxsize=256)
def _parse(name: str, path: Path, changed: int) -> Module:
    try:
        return Module(name, path, ast.parse(path.read_bytes(), filename=str(path)))
    except SyntaxError as error:
        raise ConfigError(syntax_error(error, path)) from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from error


def syntax_error(error: SyntaxError, path: Path | None = None) -> str:
    """The file, the line and what is wrong with it; below, the line itself."""
    where = f"{path or error.filename}, line {error.lineno}"
    return f"{where}: {error.msg}\n  {(error.text or '').strip()}"


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
