"""Importing torch and Lightning, a little sooner."""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def without_collections() -> Iterator[None]:
    """Collect no garbage for the time of the block.

    An import makes objects that stay. Those of torch and Lightning are so many that looking
    through them again and again would take a sixth of the time.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
