"""Processes that do not run the program's main module again."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def without_main_module() -> Iterator[None]:
    """Start processes that know nothing of the main module for the time of the block.

    ``multiprocessing`` runs it in each process that it starts, for what it defines. What our
    processes call is in modules, and a script without ``if __name__ == "__main__"`` would begin
    anew in each of them.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
