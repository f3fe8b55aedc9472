"""Importing torch and Lightning, a little sooner."""

import contextlib
import gc
import sys
from collections.abc import Iterator
from types import ModuleType

# torchmetrics imports it, with all of scipy.stats, for the sake of one audio metric.
UNUSED = "scipy.signal"


@contextlib.contextmanager
def quick_imports() -> Iterator[None]:
    """For the time of the block, collect no garbage and import nothing that no run uses.

    An import makes objects that stay. Those of torch and Lightning are so many that looking
    through them again and again would take a sixth of the time, and what is left out here would
    take a sixth more.
    """
    enabled = gc.isenabled()
    gc.disable()
    stand_in = None
    if UNUSED not in sys.modules:
        stand_in = sys.modules[UNUSED] = ModuleType(UNUSED)
        # What torchmetrics looks for, and would otherwise add.
        stand_in.hamming = None  # type: ignore[attr-defined]
    try:
        yield
    finally:
        # Whoever asks for it from now on gets it.
        if sys.modules.get(UNUSED) is stand_in is not None:
            del sys.modules[UNUSED]
        if enabled:
            gc.enable()
