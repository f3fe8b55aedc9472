"""The arrow of dependence runs one way: what a module may import, read off its source."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import unrolled
from unrolled.config.compose import compose_run
from unrolled.config.locations import config_directory
from unrolled.tasks.build import build_task

PACKAGE = Path(unrolled.__file__).parent
# What each part may import besides itself: no exceptions for single modules.
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "cache": set(),
    "kernels": {"cache"},
    "runs": {"errors"},
    "figures": {"errors", "runs"},
    "config": {"errors", "runs"},
    "cells": {"errors"},
    "data": {"errors", "cache"},
    "recurrence": {"errors", "kernels", "cells"},
    "layers": {"errors", "cells", "recurrence"},
    "cell_checks": {"errors", "cells", "recurrence"},
    "metrics": {"errors", "data"},
    "models": {
        *("errors", "config", "kernels", "cells", "data", "recurrence", "cell_checks"),
    },
    "tasks": {
        *("errors", "cache", "runs", "config", "data", "metrics", "recurrence", "models"),
    },
    "diagnostics": {"errors", "runs", "cells", "data", "models"},
    "training": {
        *("errors", "kernels", "runs", "figures", "config", "data", "recurrence", "models"),
        *("tasks", "diagnostics"),
    },
    "export": {
        *("errors", "runs", "config", "data", "recurrence", "models", "tasks", "training"),
        "cells",
    },
    "sweeps": {"errors", "runs", "config", "tasks", "training"},
    "comparison": {"errors", "runs", "figures"},
    "commands": {
        *("errors", "runs", "config", "cells", "data", "recurrence", "cell_checks", "metrics"),
        *("models", "tasks", "diagnostics", "training", "export", "sweeps", "comparison"),
    },
    # Of what the command calls, and of nothing that it does not.
    "api": {
        *("errors", "runs", "config", "data", "models", "tasks", "training", "sweeps"),
        *("comparison", "commands"),
    },
}
# The command is above everything, and what Python runs for `python -m unrolled` above it.
TOP = {"cli", "__main__", "__init__"}
HEAVY = {"torch", "pytorch_lightning", "torchmetrics", "tokenizers"}


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


SOURCES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports(path: Path) -> Iterator[str]:
    """Every module that a file names, inside functions and under TYPE_CHECKING too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are written in full"
            assert node.module is not None
            # `from unrolled.training import record` names the module by its second part.
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner.removeprefix("unrolled.") in SOURCES else node.module


def ours(path: Path) -> set[str]:
    names = {name for name in imports(path) if name.split(".")[0] == "unrolled"}
    return {name.removeprefix("unrolled.") for name in names} - {"unrolled"}


def within(name: str, allowed: set[str]) -> bool:
    return any(name == part or name.startswith(f"{part}.") for part in allowed)


def test_every_part_has_its_place() -> None:
    parts = {name.split(".")[0] for name in SOURCES} - TOP
    assert parts <= ALLOWED.keys()
    for path in SOURCES.values():
        assert (path.parent / "__init__.py").is_file(), f"{path.parent} is no package"


@pytest.mark.parametrize("part", sorted(ALLOWED))
def test_the_arrow_of_dependence_runs_one_way(part: str) -> None:
    wrong = {
        name: sorted(strangers)
        for name, path in SOURCES.items()
        if name.split(".")[0] == part
        and (strangers := {i for i in ours(path) if not within(i, {part, *ALLOWED[part]})})
    }
    assert not wrong


def test_what_is_allowed_has_no_circle() -> None:
    done: set[str] = set()
    waiting = {part: {i.split(".")[0] for i in allowed} for part, allowed in ALLOWED.items()}
    while waiting:
        ready = {part for part, needs in waiting.items() if needs <= done}
        assert ready, f"these depend on each other: {sorted(waiting)}"
        done |= ready
        waiting = {part: needs for part, needs in waiting.items() if part not in ready}


def strings(path: Path) -> Iterator[str]:
    """Every string of a file but its documentation."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documentation = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or id(node) in documentation:
            continue
        if isinstance(node.value, str):
            yield node.value


def names_of_tasks() -> set[str]:
    """What only a task may write: the tasks' names, modules and metrics. Every task has a loss."""
    names: set[str] = set()
    for path in sorted((config_directory() / "task").glob("*.yaml")):
        if path.stem != "custom":
            names |= {path.stem, *build_task(compose_run([f"task={path.stem}"]).task).metrics}
    return names - {"loss"}


def test_no_code_outside_tasks_names_a_task_or_a_metric() -> None:
    names = names_of_tasks()
    assert {"language_modeling", "perplexity", "f1_macro"} <= names
    naming = {
        (name, word)
        for name, path in SOURCES.items()
        if not name.startswith("tasks.")
        for text in [*strings(path), *ours(path)]
        for word in re.findall(r"\w+", text)
        if word in names
    }
    assert not naming


def test_nothing_imports_the_command() -> None:
    importing = {name for name, path in SOURCES.items() if "cli" in ours(path)}
    assert importing <= {"__main__"}


def test_runs_and_comparisons_name_no_torch() -> None:
    for name, path in SOURCES.items():
        if name.startswith(("comparison.", "runs.")):
            heavy = {i for i in imports(path) if i.split(".")[0] in HEAVY}
            assert not heavy, f"{name} imports {sorted(heavy)}"


def test_the_plugins_are_above_sweeps_only() -> None:
    plugins = PACKAGE.parent / "hydra_plugins"
    for path in plugins.rglob("*.py"):
        assert all(within(i, {"errors", "config", "sweeps"}) for i in ours(path))


@pytest.mark.parametrize(
    "module",
    [
        "unrolled.cli",
        "unrolled.config.compose",
        "unrolled.config.stored",
        "unrolled.commands.train",
        "unrolled.commands.check",
        "unrolled.commands.generate",
        "unrolled.commands.surprisal",
        "unrolled.commands.evaluate",
        "unrolled.commands.export",
        "unrolled.commands.diagnose",
        "unrolled.commands.reproduce",
        "unrolled.api.comparing",
        "unrolled.api.composing",
        "unrolled.api.listing",
        "unrolled.api.loading",
        "unrolled.api.sweeping",
        "unrolled.api.training",
        "unrolled.training.run",
        "unrolled.training.load",
        "unrolled.tasks.language_modeling",
        "unrolled.tasks.next_token",
        "unrolled.comparison.report",
        "unrolled.commands.listing",
        "unrolled.commands.watch",
    ],
)
def test_what_must_answer_at_once_imports_no_torch(module: str) -> None:
    code = f"import sys, {module}; print(*{{m.split('.')[0] for m in sys.modules}})"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "unrolled" in found
    assert not {"torch", "pytorch_lightning", "torchmetrics"} & set(found)
