"""A package that can be called, where a public function has the package's name.

Python puts each package that is imported into its parent under its name, where it would hide the
function.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


def make_callable(package: str, module: str) -> None:
    """Let a package stand for the function of the same name.

    Args:
        package: in full, such as ``unrolled.runs``.
        module: which has the function; imported when that is called.
    """
    name = package.rpartition(".")[2]

    class CallablePackage(ModuleType):
        def __call__(self, *args: Any, **options: Any) -> Any:
            return getattr(import_module(module), name)(*args, **options)

    import_module(package)
    sys.modules[package].__class__ = CallablePackage
