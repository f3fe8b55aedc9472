import gc
import weakref

import pytest

from unrolled.training.garbage import earlier_objects_left_out


class Ring:
    """Refers to itself, so that only a collection frees it."""

    def __init__(self) -> None:
        self.itself = self


def test_only_what_the_block_makes_is_looked_through() -> None:
    earlier = Ring()
    was_there = weakref.ref(earlier)
    with pytest.raises(KeyboardInterrupt), earlier_objects_left_out():
        del earlier
        made = Ring()
        was_made = weakref.ref(made)
        del made
        gc.collect()
        assert was_there() is not None
        assert was_made() is None
        raise KeyboardInterrupt
    gc.collect()
    assert was_there() is None


def test_what_a_process_has_left_out_for_good_stays_so() -> None:
    gc.freeze()
    try:
        with earlier_objects_left_out():
            pass
        assert gc.get_freeze_count()
    finally:
        gc.unfreeze()
