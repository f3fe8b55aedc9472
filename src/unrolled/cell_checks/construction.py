"""Building a cell; what fails in somebody's own class is one sentence with its file and line."""

import inspect
import traceback
from pathlib import Path
from typing import Any

from unrolled.cells.base import Cell
from unrolled.errors import CellError, UnrolledError

# What code of a person's own may raise. SystemExit is no way for a cell to end the program.
FAILURES = (Exception, SystemExit)


def is_ours(cell: type[Cell]) -> bool:
    """Whether a cell is one of the package's, which the tests have checked."""
    return cell.__module__.startswith("unrolled.")


def require_complete(cell: type[Cell]) -> None:
    """Refuse a class that lacks a method which every cell has.

    Raises:
        CellError: it does; the message names the method.
    """
    if missing := sorted(cell.__abstractmethods__):
        raise CellError(
            f"{_definition(cell)}: {cell.__name__} has no {' and no '.join(missing)}; write it as "
            "unrolled.cells.base.Cell describes it"
        )


def construct(cell: type[Cell], input_size: int, hidden_size: int, /, **options: Any) -> Cell:
    """``cell(input_size, hidden_size, **options)``.

    Raises:
        CellError: the constructor of somebody's own class fails.
    """
    if is_ours(cell):
        return cell(input_size, hidden_size, **options)
    try:
        return cell(input_size, hidden_size, **options)
    except UnrolledError:
        raise
    except FAILURES as error:
        raise CellError(
            f"{place(error, cell)}: {cell.__name__}({input_size}, {hidden_size}) cannot be built: "
            f"{first_line(error)}"
        ) from error


def place(error: BaseException, cell: type[Cell]) -> str:
    """``my_cells.py:12``: the line of the cell's own file that raised, or where its class is."""
    while error.__cause__ is not None:
        error = error.__cause__
    files = {_file(base) for base in cell.__mro__ if not base.__module__.startswith("torch.")}
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename in files]
    theirs = [f for f in frames if f.filename != inspect.getfile(Cell)]
    return f"{_short(theirs[-1].filename)}:{theirs[-1].lineno}" if theirs else _definition(cell)


def first_line(error: BaseException) -> str:
    """``ValueError: what it says``, without the lines after the first."""
    said = str(error).strip() or "no message"
    return f"{type(error).__name__}: {said.splitlines()[0]}"


def _definition(cell: type[Cell]) -> str:
    try:
        return f"{_short(inspect.getfile(cell))}:{inspect.getsourcelines(cell)[1]}"
    except (OSError, TypeError):
        # Typed into an interpreter.
        return cell.__module__


def _file(cell: type) -> str | None:
    try:
        return inspect.getfile(cell)
    except (OSError, TypeError):
        return None


def _short(file: str) -> str:
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file
