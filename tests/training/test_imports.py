"""Collections of garbage while something is imported."""

import gc

import pytest

from unrolled.training.imports import without_collections


def test_there_are_none_in_the_block_and_some_after_it() -> None:
    with pytest.raises(ImportError), without_collections():
        assert not gc.isenabled()
        raise ImportError
    assert gc.isenabled()


def test_who_had_none_before_has_none_after() -> None:
    gc.disable()
    try:
        with without_collections():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
