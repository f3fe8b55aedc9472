"""Compare recurrent architectures, honestly, from one command or from Python."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from unrolled.api.callable_package import make_callable

__version__ = "0.1.0"

# Each public name and its module, which is imported when the name is first used.
PUBLIC = {
    "Comparison": "unrolled.api.comparing",
    "Failure": "unrolled.api.sweeping",
    "LoadedRun": "unrolled.api.loading",
    "RecurrentLayer": "unrolled.layers",
    "Run": "unrolled.api.run",
    "Sweep": "unrolled.api.sweeping",
    "UnrolledError": "unrolled.errors",
    "compare": "unrolled.api.comparing",
    "compose": "unrolled.api.composing",
    "layer": "unrolled.layers",
    "load": "unrolled.api.loading",
    "runs": "unrolled.api.listing",
    "sweep": "unrolled.api.sweeping",
    "train": "unrolled.api.training",
}
__all__ = [*PUBLIC]

# The package that this function shares its name with has to answer for it.
make_callable("unrolled.runs", PUBLIC["runs"])

if TYPE_CHECKING:
    from unrolled.api.comparing import Comparison as Comparison
    from unrolled.api.comparing import compare as compare
    from unrolled.api.composing import compose as compose
    from unrolled.api.listing import runs as runs
    from unrolled.api.loading import LoadedRun as LoadedRun
    from unrolled.api.loading import load as load
    from unrolled.api.run import Run as Run
    from unrolled.api.sweeping import Failure as Failure
    from unrolled.api.sweeping import Sweep as Sweep
    from unrolled.api.sweeping import sweep as sweep
    from unrolled.api.training import train as train
    from unrolled.errors import UnrolledError as UnrolledError
    from unrolled.layers import RecurrentLayer as RecurrentLayer
    from unrolled.layers import layer as layer
else:

    def __getattr__(name: str) -> Any:
        if name not in PUBLIC:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(PUBLIC[name]), name)


def __dir__() -> list[str]:
    return ["__version__", *PUBLIC]
