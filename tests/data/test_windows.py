"""Sequences that share their steps, against the same sequences one behind the other."""

import hashlib

import numpy as np
import pytest

from unrolled.data.sequences import Sequences, Windows

STARTS, LENGTHS = np.array([4, 0, 0, 2, 5]), np.array([2, 1, 7, 3, 1])


def windows(starts: "np.ndarray[tuple[int], np.dtype[np.int64]]" = STARTS) -> Windows:
    return Windows.cut(np.arange(10) * 3, starts, LENGTHS)


def alone() -> Sequences:
    pairs = zip(STARTS, LENGTHS, strict=True)
    return Sequences.of([np.arange(start, start + length) * 3 for start, length in pairs])


def test_each_is_what_it_would_be_alone() -> None:
    assert len(windows()) == 5
    assert windows().lengths.tolist() == LENGTHS.tolist()
    for place in range(5):
        np.testing.assert_array_equal(windows()[place], alone()[place])


@pytest.mark.parametrize("side", ["right", "left"])
def test_they_are_padded_and_taken_alike(side: str) -> None:
    places = [3, 0, 3, 1]
    np.testing.assert_array_equal(
        windows().padded(places, side=side, value=-1), alone().padded(places, side=side, value=-1)
    )
    taken, expected = windows().take(places), alone().take(places)
    np.testing.assert_array_equal(taken.steps, expected.steps)
    np.testing.assert_array_equal(taken.offsets, expected.offsets)


@pytest.mark.parametrize("keep", ["first", "last"])
def test_they_are_clipped_alike(keep: str) -> None:
    clipped, expected = windows().clipped(2, keep), alone().clipped(2, keep)
    assert [clipped[i].tolist() for i in range(5)] == [expected[i].tolist() for i in range(5)]


def test_where_they_begin_is_part_of_the_content() -> None:
    digests = set()
    for starts in (STARTS, STARTS[::-1]):
        digest = hashlib.sha256()
        windows(starts).hash_into(digest)
        digests.add(digest.hexdigest())
    assert len(digests) == 2
