"""Sequences of unequal length against plain loops over a list of arrays."""

import hashlib

import numpy as np
import pytest

from unrolled.data.sequences import Array, Sequences

LENGTHS = [[3, 1, 4, 1, 5], [2, 2, 2], [1], [0, 3, 0]]


def arrays(lengths: list[int], features: int | None = 2) -> list[Array]:
    """Sequences of these lengths, no value twice."""
    shape = () if features is None else (features,)
    generator = np.random.default_rng(0)
    return [generator.random((length, *shape), dtype=np.float32) + 1 for length in lengths]


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("features", [None, 2])
def test_what_goes_in_comes_out(lengths: list[int], features: int | None) -> None:
    given = arrays(lengths, features)
    sequences = Sequences.of(given)
    assert len(sequences) == len(given)
    assert sequences.lengths.tolist() == lengths
    for place, (array, one) in enumerate(zip(given, sequences, strict=True)):
        np.testing.assert_array_equal(sequences[place], array)
        np.testing.assert_array_equal(one, array)


def test_equal_lengths_are_as_if_given_one_by_one() -> None:
    array = np.arange(24).reshape(3, 4, 2)
    sequences, expected = Sequences.of_equal(array), Sequences.of(list(array))
    np.testing.assert_array_equal(sequences.steps, expected.steps)
    np.testing.assert_array_equal(sequences.offsets, expected.offsets)


@pytest.mark.parametrize("cut", [0, 1, 3])
def test_joined_parts_are_the_whole(cut: int) -> None:
    whole = Sequences.of(arrays([3, 1, 0, 5]))
    joined = Sequences.joined([whole.take(range(cut)), whole.take(range(cut, 4))])
    np.testing.assert_array_equal(joined.steps, whole.steps)
    np.testing.assert_array_equal(joined.offsets, whole.offsets)


@pytest.mark.parametrize("lengths", LENGTHS)
def test_taking_keeps_the_order_asked_for(lengths: list[int]) -> None:
    given = arrays(lengths)
    places = [len(given) - 1, *range(len(given)), 0]
    taken = Sequences.of(given).take(places)
    assert len(taken) == len(places)
    for got, place in zip(map(taken.__getitem__, range(len(places))), places, strict=True):
        np.testing.assert_array_equal(got, given[place])
    assert len(Sequences.of(given).take([])) == 0


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("keep", ["first", "last"])
@pytest.mark.parametrize("longest", [1, 2, 4, 9, None])
def test_clipping_keeps_one_end(lengths: list[int], keep: str, longest: int | None) -> None:
    given = arrays(lengths)
    clipped = Sequences.of(given).clipped(longest, keep)
    for place, array in enumerate(given):
        cut = len(array) if longest is None else longest
        kept = array[:cut] if keep == "first" else array[max(0, len(array) - cut) :]
        np.testing.assert_array_equal(clipped[place], kept)


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("time", [None, 7])
@pytest.mark.parametrize("features", [None, 2])
def test_padding_is_that_of_a_loop(
    lengths: list[int], side: str, time: int | None, features: int | None
) -> None:
    given = arrays(lengths, features)
    places = [*range(len(given)), 0]
    padded = Sequences.of(given).padded(places, value=-1, side=side, time=time)
    longest = time or max(lengths)
    expected = np.full((longest, len(places), *given[0].shape[1:]), -1, dtype=np.float32)
    for column, place in enumerate(places):
        for step, value in enumerate(given[place]):
            shift = longest - len(given[place]) if side == "left" else 0
            expected[step + shift, column] = value
    np.testing.assert_array_equal(padded, expected)
    assert padded.dtype == np.float32


def test_no_two_contents_have_one_digest() -> None:
    steps = arrays([6])[0]
    contents = [
        Sequences.of([steps[:2], steps[2:]]),
        Sequences.of([steps[:3], steps[3:]]),
        Sequences.of([steps[:2] + 1, steps[2:]]),
        Sequences.of([steps[:2].astype(np.float64), steps[2:].astype(np.float64)]),
        Sequences.of([steps[:2, 0], steps[2:, 0]]),
    ]
    digests = set()
    for content in contents:
        digest = hashlib.sha256()
        content.hash_into(digest)
        digests.add(digest.hexdigest())
    assert len(digests) == len(contents)
