"""Compare recurrent architectures, honestly, from one command or from Python.

``import unrolled`` imports nothing heavy: each name of ``__all__`` brings in its module when it is
first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unrolled.layers import RecurrentLayer as RecurrentLayer
    from unrolled.layers import layer as layer

__version__ = "0.1.0"

# Each public name and the module that defines it; sorted.
_PUBLIC = {
    "RecurrentLayer": "unrolled.layers",
    "layer": "unrolled.layers",
}

__all__ = sorted(["__version__", *_PUBLIC])


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
