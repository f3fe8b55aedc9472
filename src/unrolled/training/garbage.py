"""Garbage collection while a run trains: of what the run makes, not of what was there before."""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def earlier_objects_left_out() -> Iterator[None]:
    """Look for garbage only among objects that the block makes.

    Sooner or later Python looks through everything, and the objects of torch and Lightning's
    modules are so many that this holds up training for a quarter of a second.
    """
    # A process of a sweep has left them out for good.
    if gc.get_freeze_count():
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
