from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from unrolled.recurrence.steps import Steps

LENGTHS = [[4, 4, 4], [5, 3, 3, 1], [1], [2, 1]]


def layout(lengths: list[int]) -> tuple[Steps, Tensor, dict[tuple[int, int], int]]:
    """The steps, rows of single numbers, and the row of each step of each sequence."""
    sizes = [sum(length > t for length in lengths) for t in range(lengths[0])]
    places = [(t, b) for t, size in enumerate(sizes) for b in range(size)]
    x = torch.arange(len(places), dtype=torch.float64)[:, None] + 100
    return Steps(sizes), x, {place: row for row, place in enumerate(places)}


@pytest.fixture(params=LENGTHS, ids=str)
def lengths(request: pytest.FixtureRequest) -> list[int]:
    found = request.param
    assert isinstance(found, list)
    return found


def test_the_last_row_of_each_sequence(lengths: list[int]) -> None:
    steps, x, row = layout(lengths)
    expected = [float(x[row[length - 1, b]]) for b, length in enumerate(lengths)]
    assert steps.final(x).flatten().tolist() == expected


def test_the_row_before_each(lengths: list[int]) -> None:
    steps, x, row = layout(lengths)
    first = -torch.arange(1.0, len(lengths) + 1, dtype=torch.float64)[:, None]
    found = steps.previous(x, first)
    for (t, b), place in row.items():
        expected = x[row[t - 1, b]] if t else first[b]
        assert torch.equal(found[place], expected)


def test_backwards_in_time_and_back(lengths: list[int]) -> None:
    steps, x, row = layout(lengths)
    found = steps.reversed(x)
    for (t, b), place in row.items():
        assert torch.equal(found[place], x[row[lengths[b] - 1 - t, b]])
    assert torch.equal(steps.reversed(found), x)


def test_padded_and_packed_again(lengths: list[int]) -> None:
    steps, x, row = layout(lengths)
    padded = steps.padded(x)
    assert padded.shape == (lengths[0], len(lengths), 1)
    for t in range(lengths[0]):
        for b in range(len(lengths)):
            expected = float(x[row[t, b]]) if (t, b) in row else 0.0
            assert float(padded[t, b]) == expected
    assert torch.equal(steps.packed(padded), x)


def test_a_mask_for_each_sequence(lengths: list[int]) -> None:
    steps, x, row = layout(lengths)
    mask = torch.arange(1.0, len(lengths) + 1, dtype=torch.float64)[:, None]
    found = steps.times(x, mask)
    for (_, b), place in row.items():
        assert float(found[place]) == float(x[place]) * (b + 1)


def test_spans_have_the_rows_of_the_whole(lengths: list[int]) -> None:
    steps, x, _ = layout(lengths)
    cuts = [0, 1, lengths[0]]
    spans = [steps.span(*cut) for cut in pairwise(cuts)]
    assert sum(span.rows for span in spans if span.sizes) == steps.rows == len(x)
    assert [len(part) for part in steps.split(x)] == list(steps.sizes)


@pytest.mark.parametrize("work", [Steps.final, Steps.reversed, Steps.padded])
def test_gradients_return_to_their_rows(
    work: Callable[[Steps, Tensor], Tensor], lengths: list[int]
) -> None:
    steps, x, _ = layout(lengths)
    assert torch.autograd.gradcheck(lambda x: work(steps, x), (x.requires_grad_(),))
